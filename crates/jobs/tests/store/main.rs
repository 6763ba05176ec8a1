//! The SQLite store: its state machine against a model of it, and folders that are not as they should be.

mod folders;
mod health;
mod listing;
mod model;
mod owner;
