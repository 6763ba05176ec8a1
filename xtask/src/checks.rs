//! The checks that every change passes, in the order in which they fail fastest.

use crate::command::{Run, cargo};
use crate::setup::{WASM, setup};
use crate::{e2e, edge, levels};
use anyhow::Result;

/// The workspace with everything that it can do, so that nothing is built a second time with other features.
const ALL: [&str; 3] = ["--workspace", "--features", "easel-host/component"];

/// Everything: formatting, lints on both targets, the components, tests, kernels in an emulator, the site in a browser. The
/// golden cases are among the tests.
pub(crate) fn test() -> Result<()> {
    setup()?;
    lint()?;
    edge::edge()?;
    cargo(["test"]).args(ALL).run()?;
    levels::arm_if_possible()?;
    e2e::e2e_if_possible()
}

/// rustfmt and clippy with warnings as errors, native and WebAssembly.
pub(crate) fn lint() -> Result<()> {
    cargo(["fmt", "--all", "--check"]).run()?;
    cargo(["clippy", "--all-targets"]).args(ALL).args(["--", "-D", "warnings"]).run()?;
    let wasm = ["--package", "easel-inference", "--package", "easel-web", "--no-default-features", "--target", WASM];
    cargo(["clippy"]).args(wasm).args(["--features", "easel-web/webgpu", "--", "-D", "warnings"]).run()?;
    let checks = ["clippy", "--package", "easel-webgpu", "--example", "browser", "--target", WASM];
    cargo(checks).args(["--", "-D", "warnings"]).run()?;
    cargo(["clippy", "--package", "easel-contract", "--target", WASM, "--", "-D", "warnings"]).run()?;
    edge::lint()
}

/// The golden cases of a folder through the real loaders and pipelines.
pub(crate) fn golden(args: &[String]) -> Result<()> {
    let run: Run = cargo(["run", "--quiet", "--package", "easel-tests", "--bin", "golden", "--"]);
    // Every second word is the value of an option.
    let folder = args.chunks(2).any(|pair| !pair[0].starts_with("--"));
    let run = run.args(args);
    if folder { run.run() } else { run.arg("tests/golden").run() }
}
