//! The core against models written from its promises alone: the hearing table against a twenty-line
//! reference over every combination, and whole calls against their invariants over random stories.

#[path = "model/hearing.rs"]
mod hearing;
#[path = "model/random.rs"]
mod random;
#[path = "model/world.rs"]
mod world;
