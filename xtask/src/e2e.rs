//! `cargo xtask e2e`: the site and the kernels in a real browser.

use crate::command::{Run, root};
use crate::setup::WASM;
use crate::web;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Names under which Chromium is found.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Fails in a Node that is older than 20.
const NEW_ENOUGH: &str = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";

/// Set where the browser tests must run: then a missing browser is a failure.
const REQUIRE: &str = "EASEL_REQUIRE_BROWSER";

/// Builds the site and the kernels' checks, and runs the browser tests; arguments name test files.
pub(crate) fn e2e(args: &[String]) -> Result<()> {
    let browser = browser()?;
    build()?;
    run(&browser, args)
}

/// The build for the browser tests as a part of all tests: left out, with the reason, where they cannot run.
pub(crate) fn build_if_possible() -> Result<()> {
    match browser() {
        Err(reason) if std::env::var_os(REQUIRE).is_none() => {
            eprintln!("skipped the site, for the browser tests cannot run: {reason}");
            Ok(())
        }
        _ => build(),
    }
}

/// The browser tests on what has been built, as a part of all tests: left out, with the reason, where Node or Chromium is
/// missing and not promised.
pub(crate) fn run_if_possible() -> Result<()> {
    match browser() {
        Err(reason) if std::env::var_os(REQUIRE).is_none() => {
            eprintln!("skipped the browser tests: {reason}");
            Ok(())
        }
        browser => run(&browser?, &[]),
    }
}

/// Builds the site and the kernels' checks: at once, so that no dependency is built twice.
fn build() -> Result<()> {
    web::web(&["--package", "easel-webgpu", "--example", "browser"])
}

/// Checks the types of the scripts and runs the tests of `tests/browser`.
fn run(browser: &Path, args: &[String]) -> Result<()> {
    let tests = root().join("tests/browser");
    let checks = checks()?;
    if !tests.join("node_modules").is_dir() {
        npm(&tests).arg("ci").run()?;
    }
    npm(&tests).args(["run", "--silent", "types"]).run()?;
    let run = npm(&tests).args(["test", "--silent", "--"]).args(args);
    run.env("CHROMIUM", browser).env("EASEL_DIST", web::dist()).env("EASEL_CHECKS", checks).run()
}

/// The kernels' checks, which were built with the site, as a module for the browser.
fn checks() -> Result<PathBuf> {
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
