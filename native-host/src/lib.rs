//! What an application that embeds Easel shares with the `easel` command: the default model and the names of models.

pub mod embedded;
pub mod names;
