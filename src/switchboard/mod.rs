//! The switchboard: live calls by id, what is asked of them, what they answer.

pub mod desk;
