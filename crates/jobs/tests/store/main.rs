//! The SQLite store: its state machine against a model, and unusual data folders.

mod folders;
mod health;
mod home;
mod listing;
mod model;
mod owner;
