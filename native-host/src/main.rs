//! The `easel` command: parses the arguments, dispatches to a command and returns its exit code.

// To see that a device may be shared between threads, the compiler walks through many nested types of wgpu.
#![recursion_limit = "256"]

mod args;
mod bench;
mod commands;
mod contents;
mod download;
mod exit;
mod interrupt;
mod output;
mod picture;
mod progress;
mod terminal;

use args::{Cli, Command};
use clap::Parser;
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(error) => usage(&error),
    };
    ExitCode::from(exit as u8)
}

fn run(command: Command) -> Exit {
    let as_events = match &command {
        Command::Generate(args) => args.output.json,
        Command::Pull(args) => args.json,
        _ => false,
    };
    let result = match command {
        Command::Generate(args) => commands::generate(&args),
        Command::Analyze(args) => commands::analyze(&args),
        Command::Serve(args) => commands::serve(&args),
        Command::ExportProtos(args) => commands::export_protos(&args),
        #[cfg(feature = "mcp")]
        Command::Mcp(args) => commands::mcp(&args),
        Command::Health(args) => commands::health(&args),
        Command::Work(args) => commands::work(&args),
        Command::NewKey(args) => commands::new_key(&args),
        Command::Models(args) => commands::models(&args),
        Command::Pull(args) => commands::pull(&args),
        Command::Inspect(args) => commands::inspect(&args),
        Command::Quantize(args) => commands::quantize(&args),
        Command::Devices(args) => commands::devices(&args),
        Command::Metadata(args) => commands::metadata(&args),
        Command::Bench(args) => commands::bench(&args),
        Command::Completions(args) => commands::completions(&args),
        Command::Man(args) => commands::man(&args),
    };
    let Err(error) = result else { return Exit::Success };
    let exit = Exit::of(&error);
    if exit != Exit::Success {
        let message = exit::one_line(&error);
        if as_events {
            // If standard output is closed, standard error may still be open.
            let _ = progress::error_event(&message);
        }
        terminal::note(format_args!("easel: {message}"));
    }
    exit
}

/// Help and version go to standard output as clap renders them; errors become one line.
fn usage(error: &clap::Error) -> Exit {
    if error.use_stderr() && error.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        terminal::note(format_args!("easel: {}", exit::clap_line(error)));
        return Exit::Usage;
    }
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Success }
}
