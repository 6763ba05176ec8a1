//! `cargo xtask e2e`: the site and the kernels in a real browser.

use crate::command::{Run, cargo, root};
use crate::setup::WASM;
use crate::web;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Names under which Chromium is found.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Fails in a Node that is older than 20.
const NEW_ENOUGH: &str = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";

/// Where it is promised that the browser tests can run.
const REQUIRE: &str = "EASEL_REQUIRE_BROWSER";

/// Builds the site and the kernels' checks, checks the types of the scripts and runs the tests of `tests/browser`;
/// arguments name test files.
pub(crate) fn e2e(args: &[String]) -> Result<()> {
    let browser = browser()?;
    let tests = root().join("tests/browser");
    web::web()?;
    let checks = checks()?;
    if !tests.join("node_modules").is_dir() {
        npm(&tests).arg("ci").run()?;
    }
    npm(&tests).args(["run", "--silent", "types"]).run()?;
    let run = npm(&tests).args(["test", "--silent", "--"]).args(args);
    run.env("CHROMIUM", browser).env("EASEL_DIST", web::dist()).env("EASEL_CHECKS", checks).run()
}

/// The same as a part of all tests: left out, with the reason, where Node or Chromium is missing and not promised.
pub(crate) fn e2e_if_possible() -> Result<()> {
    match browser() {
        Err(reason) if std::env::var_os(REQUIRE).is_none() => {
            eprintln!("skipped the browser tests: {reason}");
            Ok(())
        }
        _ => e2e(&[]),
    }
}

/// The kernels' checks as a module for the browser.
fn checks() -> Result<PathBuf> {
    let build = ["build", "--profile", "web", "--package", "easel-webgpu", "--example", "browser", "--target", WASM];
    cargo(build).run()?;
    let folder = web::target().join("browser-checks");
    web::bind(&web::target().join(WASM).join("web/examples/browser.wasm"), &folder)?;
    Ok(folder)
}

fn npm(folder: &Path) -> Run {
    Run::new("npm").arg("--prefix").arg(folder)
}

/// Chromium, if Node is there to steer it.
fn browser() -> Result<PathBuf> {
    ensure!(
        Run::new("node").args(["--eval", NEW_ENOUGH]).succeeds(),
        "they need Node 20 or newer (https://nodejs.org)"
    );
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Ok(named.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).flat_map(|folder| BROWSERS.map(|name| folder.join(name)));
    candidates.find(|file| file.is_file()).context("no Chromium was found: install it, or say where it is in CHROMIUM")
}
