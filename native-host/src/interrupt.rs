//! Ctrl-C: the first asks the run to stop between two steps, the second ends the process immediately.

use crate::exit::Exit;
use crate::terminal::note;
use anyhow::{Context, Result};
use easel_inference::pipeline::CancelToken;
use std::io::IsTerminal;

/// A token that Ctrl-C cancels, as do SIGTERM and SIGHUP. May be called once per process.
pub(crate) fn cancel_token() -> Result<CancelToken> {
    let token = CancelToken::default();
    let ours = token.clone();
    ctrlc::set_handler(move || {
        if ours.is_cancelled() {
            std::process::exit(Exit::Cancelled as i32);
        }
        ours.cancel();
        if std::io::stderr().is_terminal() {
            note("\neasel: stopping after this step (Ctrl-C again stops at once)");
        }
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(token)
}
