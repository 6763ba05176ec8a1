//! The edge component: built for WASI, and composed with the provider that calls a host over HTTP.

use crate::command::{Run, cargo, root};
use crate::setup::WASI;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// The packages that become components.
const COMPONENTS: [&str; 6] = ["--package", "easel-edge", "--package", "easel-faulty", "--package", "easel-remote"];

/// The most bytes that the component may have.
const BUDGET: u64 = 1_600_000;

/// Builds `easel_edge.wasm` and `easel_remote.wasm`, composes them into `easel_edge_remote.wasm` and prints the sizes. Also
/// builds the component that misbehaves in tests. Fails if the component is larger than it may be.
pub(crate) fn edge() -> Result<()> {
    build().run()?;
    compose()
}

/// The same with lints: warnings are errors.
pub(crate) fn build_linted() -> Result<()> {
    build().linted().run()?;
    compose()
}

fn build() -> Run {
    cargo(["build", "--release", "--target", WASI]).args(COMPONENTS).arg("--manifest-path").arg(manifest())
}

fn compose() -> Result<()> {
    let [component, provider, composed] = ["easel_edge.wasm", "easel_remote.wasm", "easel_edge_remote.wasm"].map(built);
    cargo(["run", "--quiet", "--package", "easel-compose"])
        .arg("--manifest-path")
        .arg(manifest())
        .arg("--")
        .args([&component, &provider, &composed])
        .run()?;
    let mut sizes = Vec::new();
    for file in [component, provider, composed] {
        let size = std::fs::metadata(&file).with_context(|| format!("{} was not built", file.display()))?.len();
        println!("{:>7.1} KB  {}", size as f64 / 1000.0, file.display());
        sizes.push(size);
    }
    ensure!(sizes[0] <= BUDGET, "the component has {} bytes, expected at most {BUDGET}", sizes[0]);
    Ok(())
}

/// The path of a built component.
pub(crate) fn built(name: &str) -> PathBuf {
    root().join("edge/target").join(WASI).join("release").join(name)
}

fn manifest() -> PathBuf {
    root().join("edge/Cargo.toml")
}

/// Formatting of the edge workspace.
pub(crate) fn formatting() -> Result<()> {
    cargo(["fmt", "--all", "--check", "--manifest-path"]).arg(manifest()).run()
}

/// Lints of the edge workspace, which only targets WASI, in the profile of its build so that macros and build scripts are
/// built once.
pub(crate) fn lint() -> Result<()> {
    cargo(["clippy", "--release", "--target", WASI])
        .args(COMPONENTS)
        .arg("--manifest-path")
        .arg(manifest())
        .args(["--", "-D", "warnings"])
        .run()
}
