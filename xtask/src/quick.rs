//! `cargo xtask test --quick`: shows within two minutes of a change whether it is worth running everything.
//!
//! It uses the build of all tests, with its features and lints, so that the two share every dependency, but builds fewer
//! programs. Code that has not changed since the last run is not compiled again.

use crate::checks;
use crate::command::{Run, cargo, root};
use crate::phases::{self, Phase};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Tests of the package `easel-tests` that always run, each with the names of its quick cases.
const ALWAYS: [(&str, &[&str]); 3] = [("tidy", &[]), ("schedulers", &[]), ("modules", &["sd15", "taesd"])];

const PHASES: [Phase; 2] = [
    Phase { name: "formatting", work: checks::formatting },
    Phase { name: "lints, build, tests", work: build_and_run },
];

/// Formatting; lints of the workspace's libraries; the unit tests of the packages that uncommitted changes touch; tidy and
/// a few golden cases.
pub(crate) fn test() -> Result<()> {
    phases::run(&PHASES)
}

fn build_and_run() -> Result<()> {
    let changed = changed_files()?;
    let mut build = cargo(["test", "--no-run", "--message-format", "json-render-diagnostics", "--lib"]);
    for (name, _) in ALWAYS {
        build = build.args(["--test", name]);
    }
    let messages = checks::workspace(build).output()?;
    let programs: Vec<Program> = messages.lines().filter_map(Program::announced).collect();
    ensure!(!programs.is_empty(), "cargo built no test program");
    for program in programs {
        if let Some(cases) = program.cases(&changed) {
            Run::new(&program.path).args(cases).run()?;
        }
    }
    Ok(())
}

/// Files that differ from the last commit, as paths from the root of the repository.
fn changed_files() -> Result<Vec<String>> {
    let known =
        Run::new("git").args(["diff", "--name-only", "HEAD"]).output().context("--quick needs git to find changes")?;
    let new = Run::new("git").args(["ls-files", "--others", "--exclude-standard"]).output()?;
    Ok(known.lines().chain(new.lines()).map(str::to_owned).collect())
}

/// A test program that cargo has built.
struct Program {
    path: PathBuf,
    /// The folder of its package, relative to the root, ending with `/`.
    package: String,
    /// The target's name: `tidy` for `tests/tests/tidy.rs`.
    target: String,
    /// Whether these are the unit tests of a library.
    library: bool,
}

impl Program {
    /// The program in one of cargo's messages.
    fn announced(message: &str) -> Option<Self> {
        let message: Value = serde_json::from_str(message).ok()?;
        let path = PathBuf::from(message["executable"].as_str()?);
        if !message["profile"]["test"].as_bool()? {
            return None;
        }
        let manifest = Path::new(message["manifest_path"].as_str()?);
        let package = manifest.parent()?.strip_prefix(root()).ok()?.to_str()?.replace('\\', "/");
        let target = &message["target"];
        let library =
            target["kind"].as_array()?.iter().any(|kind| kind.as_str().is_some_and(|kind| kind.ends_with("lib")));
        Some(Self { path, package: format!("{package}/"), target: target["name"].as_str()?.to_owned(), library })
    }

    /// The names of the tests to run; empty for all of them, `None` to skip the program.
    fn cases(&self, changed: &[String]) -> Option<&'static [&'static str]> {
        if self.library {
            let touched = changed.iter().any(|file| file.starts_with(&self.package));
            return touched.then_some(&[]);
        }
        ALWAYS.iter().find(|(name, _)| *name == self.target).map(|(_, cases)| *cases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(package: &str, target: &str, kind: &str) -> String {
        let manifest = root().join(package).join("Cargo.toml");
        serde_json::json!({
            "reason": "compiler-artifact",
            "manifest_path": manifest,
            "target": { "name": target, "kind": [kind] },
            "profile": { "test": true },
            "executable": "/target/program",
        })
        .to_string()
    }

    #[test]
    fn unit_tests_run_where_their_package_was_touched() {
        let program = Program::announced(&message("crates/inference", "easel_inference", "lib")).unwrap();
        assert_eq!(program.cases(&["crates/inference/src/lib.rs".into()]), Some(&[] as &[&str]));
        assert_eq!(program.cases(&["crates/inference-other/src/lib.rs".into(), "README.md".into()]), None);
    }

    #[test]
    fn the_golden_subset_always_runs_and_no_other_integration_test_does() {
        let program = |name| Program::announced(&message("tests", name, "test")).unwrap();
        assert_eq!(program("modules").cases(&[]), Some(&["sd15", "taesd"] as &[&str]));
        assert_eq!(program("tidy").cases(&[]), Some(&[] as &[&str]));
        assert_eq!(program("pipeline").cases(&["tests/tests/pipeline.rs".into()]), None);
    }

    #[test]
    fn programs_without_tests_are_skipped() {
        assert!(Program::announced("{\"reason\":\"build-finished\"}").is_none());
        let library = message("crates/cpu", "easel_cpu", "lib").replace("\"test\":true", "\"test\":false");
        assert!(Program::announced(&library).is_none());
    }
}
