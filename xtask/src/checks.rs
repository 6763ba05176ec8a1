//! The checks for every change: formatting, lints and all tests, each compiled once.
//!
//! Checking a crate and building it are two compilations, and nearly all code compiled here is in dependencies. So `test`
//! builds the workspace, the edge components and the site with Clippy's compiler in place of rustc, as `cargo clippy` does to
//! check them: the same build gives the lints and what is tested, and dependencies are only built, never checked.

use crate::command::{Run, cargo};
use crate::phases::{self, Phase};
use crate::setup::{WASM, setup};
use crate::{clients, e2e, edge, levels, quick};
use anyhow::{Result, bail};

/// The workspace with all its features. Every native build or lint passes exactly these arguments, because a dependency is
/// built once for each set of features. `xtask` is excluded: it is built before everything else.
const WORKSPACE: [&str; 5] = [
    "--workspace",
    "--exclude",
    "xtask",
    "--features",
    "easel-host/component,easel-host/grpc,easel-host/mcp,easel-host/otel,easel-host/cluster",
];

/// All phases, those that fail fastest first. The golden cases are among the tests.
const ALL: [Phase; 10] = [
    Phase { name: "setup", work: setup },
    Phase { name: "formatting", work: formatting },
    Phase { name: "xtask: lints, tests", work: tools },
    Phase { name: "edge: lints, components", work: edge::build_linted },
    Phase { name: "workspace: lints, build", work: build_tests },
    Phase { name: "workspace: tests", work: run_tests },
    Phase { name: "clients", work: clients::run_if_possible },
    Phase { name: "kernels for 64-bit Arm", work: levels::arm_if_possible },
    Phase { name: "site: lints, build", work: e2e::build_or_lint },
    Phase { name: "browser tests", work: e2e::run_if_possible },
];

/// `cargo xtask test [--quick]`.
pub(crate) fn test(args: &[String]) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => phases::run(&ALL),
        ["--quick"] => quick::test(),
        _ => bail!("unknown arguments {:?}: test takes no arguments, or --quick", args.join(" ")),
    }
}

/// rustfmt and clippy with warnings as errors, native and WebAssembly, without building anything.
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

/// xtask itself, whose dependencies are already built.
fn tools() -> Result<()> {
    cargo(["test", "--package", "xtask"]).linted().run()
}

/// The browser's crates, in the site's profile so that macros and build scripts are built once.
pub(crate) fn lint_wasm() -> Result<()> {
    let packages = [
        "easel-inference",
        "easel-picture",
        "easel-web",
        "easel-web-analysis",
        "easel-web-common",
        "easel-web-interface",
        "easel-webgpu",
        "easel-contract",
    ];
    let features = "easel-web/webgpu,easel-web-analysis/webgpu";
    let targets = ["--lib", "--example", "browser", "--no-default-features", "--features", features];
    cargo(["clippy", "--profile", "web", "--target", WASM])
        .args(packages.into_iter().flat_map(|package| ["--package", package]))
        .args(targets)
        .args(["--", "-D", "warnings"])
        .run()
}

/// Every library, program, example and test of the workspace.
fn build_tests() -> Result<()> {
    workspace(cargo(["test", "--no-run"])).run()
}

/// All tests, with cargo-nextest if installed, which runs several test programs at once.
fn run_tests() -> Result<()> {
    if cargo(["nextest", "--version"]).succeeds() {
        workspace(cargo(["nextest", "run", "--no-fail-fast"])).run()?;
        // cargo-nextest does not run doc tests.
        workspace(cargo(["test", "--doc"])).run()
    } else {
        workspace(cargo(["test", "--no-fail-fast"])).run()
    }
}

/// Adds the arguments of the workspace's native build with lints.
pub(crate) fn workspace(cargo: Run) -> Run {
    cargo.linted().args(WORKSPACE)
}

/// The golden cases of a folder through the real loaders and pipelines.
pub(crate) fn golden(args: &[String]) -> Result<()> {
    let run: Run = cargo(["run", "--quiet", "--package", "easel-tests", "--bin", "golden", "--"]);
    // Every option has a value.
    let folder = args.chunks(2).any(|pair| !pair[0].starts_with("--"));
    let run = run.args(args);
    if folder { run.run() } else { run.arg("tests/golden").run() }
}
