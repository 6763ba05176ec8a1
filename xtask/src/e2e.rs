//! `cargo xtask e2e`: the site in a real browser.

use crate::command::{Run, root};
use crate::web;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Names under which Chromium is found.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Builds the site, checks the types of its scripts and runs the tests of `tests/browser`; arguments name test files.
pub(crate) fn e2e(args: &[String]) -> Result<()> {
    let tests = root().join("tests/browser");
    ensure!(
        Run::new("node").arg("--version").succeeds(),
        "the browser tests need Node 20 or newer (https://nodejs.org)"
    );
    let browser = browser().context("no Chromium was found: install it, or say where it is in CHROMIUM")?;
    web::web()?;
    if !tests.join("node_modules").is_dir() {
        npm(&tests).arg("ci").run()?;
    }
    npm(&tests).args(["run", "--silent", "types"]).run()?;
    let run = npm(&tests).args(["test", "--silent", "--"]).args(args);
    run.env("CHROMIUM", browser).env("EASEL_DIST", web::dist()).run()
}

fn npm(folder: &Path) -> Run {
    Run::new("npm").arg("--prefix").arg(folder)
}

fn browser() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&path).flat_map(|folder| BROWSERS.map(|name| folder.join(name)));
    candidates.into_iter().find(|file| file.is_file())
}
