//! `cargo xtask levels`: the CPU kernels at levels that this machine may lack, in emulators.
//!
//! 64-bit Arm with NEON runs in QEMU's user mode, as a phase of `test`. No user-mode emulator has AVX-512, so Bochs boots a
//! Linux kernel with only the tests, which takes minutes.

use crate::bochs;
use crate::command::{Run, cargo, root};
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;

/// 64-bit Arm, which needs no C compiler to link.
const ARM: &str = "aarch64-unknown-linux-musl";
/// Names of QEMU's user-mode emulator.
const QEMU: [&str; 2] = ["qemu-aarch64", "qemu-aarch64-static"];
/// If set, a missing QEMU is an error instead of skipping the tests.
const REQUIRE: &str = "EASEL_REQUIRE_ARM";

/// Tests all levels, or the named ones.
pub(crate) fn levels(names: &[String]) -> Result<()> {
    let all = ["arm".to_owned(), "avx512".to_owned()];
    for name in if names.is_empty() { &all } else { names } {
        match name.as_str() {
            "arm" => arm(&qemu()?)?,
            "avx512" => bochs::avx512()?,
            _ => bail!("unknown level {name:?}, expected arm or avx512"),
        }
    }
    Ok(())
}

/// The phase for 64-bit Arm; skipped, with the reason, if QEMU is missing and not required.
pub(crate) fn arm_if_possible() -> Result<()> {
    match qemu().and_then(|qemu| add_target(ARM).map(|()| qemu)) {
        Err(reason) if std::env::var_os(REQUIRE).is_none() => {
            eprintln!("skipped the kernels of 64-bit Arm: {reason}");
            Ok(())
        }
        qemu => arm(&qemu?),
    }
}

fn arm(qemu: &str) -> Result<()> {
    for program in programs(ARM, "")? {
        // Two threads, even if the tests run one after the other.
        Run::new(qemu).arg(program).env("RAYON_NUM_THREADS", "2").run()?;
    }
    Ok(())
}

fn qemu() -> Result<String> {
    let found = QEMU.into_iter().find(|name| Run::new(name).arg("--version").succeeds());
    found.map(str::to_owned).with_context(|| format!("{} was not found", QEMU.join(" or ")))
}

fn add_target(target: &str) -> Result<()> {
    ensure!(Run::new("rustup").args(["target", "add", target]).succeeds(), "rustup could not add the target {target}");
    Ok(())
}

/// Builds the tests of `easel-cpu` for another target, statically linked: unit tests, small tests and conformance.
pub(crate) fn programs(target: &str, features: &str) -> Result<Vec<PathBuf>> {
    add_target(target)?;
    let linker = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
    let tests = ["--package", "easel-cpu", "--lib", "--test", "small", "--test", "conformance"];
    let messages = cargo(["test", "--release", "--no-run", "--message-format", "json", "--target", target])
        .args(tests)
        .env(&linker, "rust-lld")
        .env("CARGO_TARGET_DIR", root().join("target/levels"))
        .env("RUSTFLAGS", if features.is_empty() { String::new() } else { format!("-C target-feature={features}") })
        .output()?;
    let programs: Vec<PathBuf> = messages.lines().filter_map(executable).collect();
    ensure!(programs.len() == 3, "expected three test programs for {target}, cargo built {}", programs.len());
    Ok(programs)
}

/// The path of the program in one of cargo's messages.
fn executable(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}
