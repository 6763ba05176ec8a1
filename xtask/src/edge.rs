//! The edge component: built for WASI, and composed with the provider that calls a host over HTTP.

use crate::command::{cargo, root};
use crate::setup::WASI;
use anyhow::{Context, Result};

/// Builds `easel_edge.wasm` and `easel_remote.wasm`, composes them into `easel_edge_remote.wasm` and prints the sizes.
pub(crate) fn edge() -> Result<()> {
    let manifest = root().join("edge").join("Cargo.toml");
    let built = root().join("edge").join("target").join(WASI).join("release");
    cargo(["build", "--release", "--target", WASI, "--package", "easel-edge", "--package", "easel-remote"])
        .arg("--manifest-path")
        .arg(&manifest)
        .run()?;
    let [component, provider, composed] =
        ["easel_edge.wasm", "easel_remote.wasm", "easel_edge_remote.wasm"].map(|name| built.join(name));
    cargo(["run", "--quiet", "--package", "easel-compose"])
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--")
        .args([&component, &provider, &composed])
        .run()?;
    for file in [component, provider, composed] {
        let size = std::fs::metadata(&file).with_context(|| format!("{} was not built", file.display()))?.len();
        println!("{:>7.1} KB  {}", size as f64 / 1000.0, file.display());
    }
    Ok(())
}

/// Formatting and lints of the edge workspace, which is for WASI alone.
pub(crate) fn lint() -> Result<()> {
    let manifest = root().join("edge").join("Cargo.toml");
    cargo(["fmt", "--all", "--check", "--manifest-path"]).arg(&manifest).run()?;
    cargo(["clippy", "--package", "easel-edge", "--package", "easel-remote", "--target", WASI, "--manifest-path"])
        .arg(&manifest)
        .args(["--", "-D", "warnings"])
        .run()
}
