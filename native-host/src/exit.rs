//! Exit codes, and errors as one line.

use easel_host::model;
use std::fmt;
use std::io;

/// The process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success.
    Success = 0,
    /// Failure; standard error has the message.
    Failure = 1,
    /// A wrong command line.
    Usage = 2,
    /// Ctrl-C: 128 plus the number of SIGINT, as in shells.
    Cancelled = 130,
}

/// A wrong combination of options, which clap cannot detect.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl Exit {
    /// The code for an error. If the reader closed our output, it has read enough, which is not an error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        if error.downcast_ref::<Usage>().is_some() {
            return Self::Usage;
        }
        let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        let inference = match error.downcast_ref::<model::Error>() {
            Some(model::Error::Inference(error)) => Some(error),
            _ => error.downcast_ref::<easel_inference::Error>(),
        };
        match inference {
            Some(easel_inference::Error::Cancelled) => Self::Cancelled,
            None if error.downcast_ref().is_some_and(closed) => Self::Success,
            _ => Self::Failure,
        }
    }
}

/// An error and its causes on one line.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    join_lines(&format!("{error:#}"))
}

/// clap's message about a wrong command line, on one line and without its hints.
pub(crate) fn clap_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text.split("\n\n").next().unwrap_or_default();
    format!("{} (see --help)", join_lines(said.trim_start_matches("error: ")))
}

fn join_lines(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn each_kind_of_error_has_its_code() {
        assert_eq!(Exit::of(&anyhow!("broken")), Exit::Failure);
        assert_eq!(Exit::of(&Usage("no".into()).into()), Exit::Usage);
        assert_eq!(Exit::of(&easel_inference::Error::Cancelled.into()), Exit::Cancelled);
        assert_eq!(Exit::of(&easel_inference::Error::invalid("steps", "0").into()), Exit::Failure);
        assert_eq!(Exit::of(&io::Error::from(io::ErrorKind::BrokenPipe).into()), Exit::Success);
        let wrapped = Err::<(), _>(easel_inference::Error::Cancelled).context("while drawing").unwrap_err();
        assert_eq!(Exit::of(&wrapped), Exit::Cancelled);
        assert_eq!(Exit::of(&model::Error::from(easel_inference::Error::Cancelled).into()), Exit::Cancelled);
    }

    #[test]
    fn errors_are_one_line() {
        let error = Err::<(), _>(anyhow!("no space\nleft")).context("a.png").unwrap_err();
        assert_eq!(one_line(&error), "a.png: no space left");
    }
}
