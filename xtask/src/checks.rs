//! The checks that every change passes, in the order in which they fail fastest.

use crate::command::{Run, cargo};
use crate::edge;
use crate::setup::{WASM, setup};
use anyhow::Result;

/// Everything: formatting, lints on both targets, tests. The golden cases are among the tests, so that nothing is built
/// a second time with other features.
pub(crate) fn test() -> Result<()> {
    setup()?;
    lint()?;
    cargo(["test", "--workspace"]).run()
}

/// rustfmt and clippy with warnings as errors, native and WebAssembly.
pub(crate) fn lint() -> Result<()> {
    cargo(["fmt", "--all", "--check"]).run()?;
    cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()?;
    let crates = ["easel-inference", "easel-contract", "easel-web"].iter().flat_map(|name| ["--package", name]);
    let wasm = ["--no-default-features", "--target", WASM, "--", "-D", "warnings"];
    cargo(["clippy"]).args(crates).args(wasm).run()?;
    edge::lint()
}

/// The golden cases of a folder through the real loaders and pipelines.
pub(crate) fn golden(args: &[String]) -> Result<()> {
    let run: Run = cargo(["run", "--quiet", "--package", "easel-tests", "--bin", "golden", "--"]);
    if args.is_empty() { run.arg("tests/golden").run() } else { run.args(args).run() }
}
