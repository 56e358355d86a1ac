//! The prerequisite engine against a simulated Entra, Graph and Azure, on loopback.

mod api;
mod entra;
mod gate;
mod people;
mod secrets;
mod stage;
mod troubles;
