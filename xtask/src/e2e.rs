//! `cargo xtask e2e`: the site and the kernels in a real browser.

use crate::command::{Run, root};
use crate::setup::WASM;
use crate::{checks, web};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Names of Chromium's program.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Fails in a Node older than 20.
const NEW_ENOUGH: &str = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";

/// If set, a missing browser is an error instead of skipping the tests.
const REQUIRE: &str = "EASEL_REQUIRE_BROWSER";

/// Builds the site and the kernel checks, and runs the browser tests; arguments name test files.
pub(crate) fn e2e(args: &[String]) -> Result<()> {
    let browser = browser()?;
    web::web_for_tests()?;
    run(&browser, args)
}

/// The phase that builds for the browser tests, with lints; if they cannot run, it says why and only lints.
pub(crate) fn build_or_lint() -> Result<()> {
    match browser() {
        Err(reason) if std::env::var_os(REQUIRE).is_none() => {
            eprintln!("skipped the build of the site, because the browser tests cannot run: {reason}");
            checks::lint_wasm()
        }
        _ => web::web_for_tests(),
    }
}

/// The phase that runs the browser tests; skipped, with the reason, if Node or Chromium is missing and not required.
pub(crate) fn run_if_possible() -> Result<()> {
    match browser() {
        Err(reason) if std::env::var_os(REQUIRE).is_none() => {
            eprintln!("skipped the browser tests: {reason}");
            Ok(())
        }
        browser => run(&browser?, &[]),
    }
}

/// Checks the scripts' types and runs the tests of `tests/browser`.
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

/// The kernel checks, built with the site, as a module for the browser.
fn checks() -> Result<PathBuf> {
    let folder = web::target().join("browser-checks");
    web::bind(&web::target().join(WASM).join("web/examples/browser.wasm"), &folder, "browser")?;
    Ok(folder)
}

fn npm(folder: &Path) -> Run {
    Run::new("npm").arg("--prefix").arg(folder)
}

/// Chromium, provided that there is Node to drive it.
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
    candidates.find(|file| file.is_file()).context("Chromium was not found: install it, or set CHROMIUM to its path")
}
