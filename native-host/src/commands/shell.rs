//! `easel completions` and `easel man`: completions for shells and the manual page, generated from the definition of
//! the command line.

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::terminal::say;
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::io::Write;

/// Prints the completions of a shell.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "easel", &mut script);
    Ok(std::io::stdout().write_all(&script)?)
}

/// Prints the manual page, or writes one page for each command into a folder.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    let Some(folder) = &args.folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        return Ok(std::io::stdout().write_all(&page)?);
    };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(|| folder.display().to_string())?;
    say(folder.display())
}
