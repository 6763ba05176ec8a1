//! The checks that every change passes: formatting, lints and all tests, each of them compiled once.
//!
//! Checking a crate and building it are two compilations, and nearly everything that is compiled here is a dependency. So
//! `test` builds the workspace with Clippy's compiler in the place of rustc, as `cargo clippy` does to check it: the lints
//! come out of the same build as the tests, and dependencies are only ever built.

use crate::command::{Run, cargo};
use crate::phases::{self, Phase};
use crate::setup::{WASM, setup};
use crate::{e2e, edge, levels, quick};
use anyhow::{Result, bail};

/// The workspace with everything that it can do. Whatever builds or lints it natively passes these arguments and no others,
/// because a dependency is built once for each set of features. `xtask` is left out: it is built before everything else.
const WORKSPACE: [&str; 5] = ["--workspace", "--exclude", "xtask", "--features", "easel-host/component"];

/// Where warnings are errors, as Clippy's compiler reads it: `-D warnings`.
const DENY_WARNINGS: &str = "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__";

/// Everything, in the order in which it fails fastest. The golden cases are among the tests.
const ALL: [Phase; 10] = [
    Phase { name: "setup", work: setup },
    Phase { name: "formatting", work: formatting },
    Phase { name: "xtask: lints, tests", work: tools },
    Phase { name: "lints for wasm32", work: lint_wasm },
    Phase { name: "edge: lints, components", work: components },
    Phase { name: "workspace: lints, build", work: build_tests },
    Phase { name: "workspace: tests", work: run_tests },
    Phase { name: "kernels for 64-bit Arm", work: levels::arm_if_possible },
    Phase { name: "site", work: e2e::build_if_possible },
    Phase { name: "browser tests", work: e2e::run_if_possible },
];

/// `cargo xtask test [--quick]`.
pub(crate) fn test(args: &[String]) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => phases::run(&ALL),
        ["--quick"] => quick::test(),
        _ => bail!("unknown arguments {:?}: test takes none, or --quick", args.join(" ")),
    }
}

/// rustfmt and clippy with warnings as errors, native and WebAssembly; nothing is built.
pub(crate) fn lint() -> Result<()> {
    formatting()?;
    let packages = ["--workspace", "--features", WORKSPACE[4]];
    cargo(["clippy", "--all-targets"]).args(packages).args(["--", "-D", "warnings"]).run()?;
    lint_wasm()?;
    edge::lint()
}

/// rustfmt on both workspaces.
pub(crate) fn formatting() -> Result<()> {
    cargo(["fmt", "--all", "--check"]).run()?;
    edge::formatting()
}

/// This program, whose dependencies are already built.
fn tools() -> Result<()> {
    linted(cargo(["test", "--package", "xtask"])).run()
}

/// What the browser gets. One profile for lints and site, so that macros and build scripts are built once.
fn lint_wasm() -> Result<()> {
    let packages = ["easel-inference", "easel-picture", "easel-web", "easel-webgpu", "easel-contract"];
    let what = ["--lib", "--example", "browser", "--no-default-features", "--features", "easel-web/webgpu"];
    cargo(["clippy", "--profile", "web", "--target", WASM])
        .args(packages.into_iter().flat_map(|package| ["--package", package]))
        .args(what)
        .args(["--", "-D", "warnings"])
        .run()
}

fn components() -> Result<()> {
    edge::lint()?;
    edge::edge()
}

/// Every library, program, example and test of the workspace.
fn build_tests() -> Result<()> {
    workspace(cargo(["test", "--no-run"])).run()
}

/// All tests, by cargo-nextest where it is installed, which runs those of several programs at once.
fn run_tests() -> Result<()> {
    if cargo(["nextest", "--version"]).succeeds() {
        workspace(cargo(["nextest", "run", "--no-fail-fast"])).run()?;
        // cargo-nextest does not run the examples in comments.
        workspace(cargo(["test", "--doc"])).run()
    } else {
        workspace(cargo(["test", "--no-fail-fast"])).run()
    }
}

/// The native build of the workspace, with lints, for arguments that say which targets.
pub(crate) fn workspace(cargo: Run) -> Run {
    linted(cargo).args(WORKSPACE)
}

/// Compiles the packages of the workspace with Clippy's compiler and its warnings as errors.
fn linted(run: Run) -> Run {
    run.env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver").env("CLIPPY_ARGS", DENY_WARNINGS)
}

/// The golden cases of a folder through the real loaders and pipelines.
pub(crate) fn golden(args: &[String]) -> Result<()> {
    let run: Run = cargo(["run", "--quiet", "--package", "easel-tests", "--bin", "golden", "--"]);
    // Every second word is the value of an option.
    let folder = args.chunks(2).any(|pair| !pair[0].starts_with("--"));
    let run = run.args(args);
    if folder { run.run() } else { run.arg("tests/golden").run() }
}
