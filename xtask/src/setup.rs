//! The programs and targets that other tasks need: installed if possible, otherwise reported as missing.

use crate::command::Run;
use anyhow::{Context, Result};

/// The target of the browser build.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";
/// The target of the edge component.
pub(crate) const WASI: &str = "wasm32-wasip2";

/// Installs targets and components with rustup; without rustup, names them.
pub(crate) fn setup() -> Result<()> {
    let installed = match Run::new("rustup").args(["target", "list", "--installed"]).output() {
        Ok(installed) => installed,
        Err(_) => {
            eprintln!(
                "rustup was not found: the targets {WASM} and {WASI}, rustfmt and clippy must come with your toolchain"
            );
            return Ok(());
        }
    };
    for target in [WASM, WASI] {
        if !installed.lines().any(|line| line == target) {
            Run::new("rustup")
                .args(["target", "add", target])
                .run()
                .context("the browser build and the edge component need their targets")?;
        }
    }
    for component in ["rustfmt", "clippy"] {
        if !Run::new("cargo").args([if component == "rustfmt" { "fmt" } else { "clippy" }, "--version"]).succeeds() {
            Run::new("rustup").args(["component", "add", component]).run()?;
        }
    }
    Ok(())
}

/// Whether there is the source of Rust's standard library, for the build with threads; rustup fetches it.
pub(crate) fn rust_source() -> bool {
    let sysroot = Run::new("rustc").args(["--print", "sysroot"]).output().unwrap_or_default();
    let library = std::path::Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
    library.is_file() || (Run::new("rustup").args(["component", "add", "rust-src"]).succeeds() && library.is_file())
}

/// A Python (`$PYTHON`, or else `python3`) that can import `module`.
pub(crate) fn python_with(module: &str) -> Option<String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let import = format!("import {module}");
    Run::new(&python).args(["-c", &import]).succeeds().then_some(python)
}
