//! `cargo xtask clients`: clients from PyPI and npm against the built program (`tests/clients`).

use crate::command::{Run, root};
use crate::web::target;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// If set, missing clients are an error instead of skipping the tests.
const REQUIRE: &str = "EASEL_REQUIRE_CLIENTS";

/// The list of packages that a folder was installed from.
const INSTALLED: &str = "installed.txt";

/// Builds the program, installs the clients, and runs them.
pub(crate) fn clients() -> Result<()> {
    crate::checks::workspace(crate::command::cargo(["build", "--bin", "easel"])).run()?;
    run(&install()?)
}

/// The phase after the other tests, which have built the program. It is skipped, with the reason, if the clients cannot be
/// installed and are not required.
pub(crate) fn run_if_possible() -> Result<()> {
    match install() {
        Err(reason) if std::env::var_os(REQUIRE).is_none() => {
            eprintln!("skipped the clients from PyPI and npm: {reason:#}");
            Ok(())
        }
        installed => run(&installed?),
    }
}

fn here() -> PathBuf {
    root().join("tests/clients")
}

/// A folder with the Python packages, installed anew if the list has changed.
fn install() -> Result<PathBuf> {
    let folder = target().join("clients");
    let requirements = here().join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    if fs::read_to_string(folder.join(INSTALLED)).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    Run::new(&python)
        .args(["-m", "venv", "--clear"])
        .arg(&folder)
        .run()
        .context("the clients need Python 3.11 with venv")?;
    let pip = python_of(&folder);
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    Run::new(pip).args(quiet).arg(&requirements).run().context("the clients are installed from PyPI")?;
    fs::write(folder.join(INSTALLED), wanted)?;
    Ok(folder)
}

fn python_of(folder: &Path) -> PathBuf {
    let (bin, name) = if cfg!(windows) { ("Scripts", "python.exe") } else { ("bin", "python") };
    folder.join(bin).join(name)
}

fn run(folder: &Path) -> Result<()> {
    let easel = target().join("debug").join(if cfg!(windows) { "easel.exe" } else { "easel" });
    let discover = ["-m", "unittest", "discover", "--start-directory"];
    Run::new(python_of(folder)).args(discover).arg(here()).env("EASEL", &easel).run()?;
    node(&easel)
}

/// The npm package, if there is Node; the browser tests require it.
fn node(easel: &Path) -> Result<()> {
    if !Run::new("node").arg("--version").succeeds() {
        eprintln!("skipped the client from npm: there is no Node");
        return Ok(());
    }
    if !here().join("node_modules").is_dir() {
        Run::new("npm").args(["ci", "--no-audit", "--no-fund", "--prefix"]).arg(here()).run()?;
    }
    Run::new("node").arg("--test").arg(here().join("openai.test.js")).env("EASEL", easel).run()
}
