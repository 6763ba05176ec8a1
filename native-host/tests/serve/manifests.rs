//! The files for operators: their syntax, and the options and variables that they name.

#![cfg(unix)]

use crate::data;
use easel_host::serve::{Config, Overrides};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use yaml_rust2::YamlLoader;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_easel");

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => collect(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

/// The files for operators, with their texts.
fn files() -> Vec<(String, String)> {
    let mut found = ["compose.yaml", "compose.cluster.yaml", "OPERATING.md"].map(|file| root().join(file)).to_vec();
    collect(&root().join("deploy"), &mut found);
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// The words of a text that begin like this and go on with these characters.
fn words<'a>(text: &'a str, start: &'a str, goes_on: fn(char) -> bool) -> impl Iterator<Item = &'a str> {
    text.match_indices(start).map(move |(at, _)| {
        let rest = &text[at + start.len()..];
        let length = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
        &text[at..at + start.len() + length]
    })
}

fn variables(text: &str) -> impl Iterator<Item = &str> {
    words(text, "EASEL_", |c| c.is_ascii_uppercase() || c == '_').filter(|name| *name != "EASEL_")
}

#[test]
fn every_variable_is_one_that_a_program_reads() {
    let mut sources = Vec::new();
    for folder in ["native-host/src", "crates/contract/src", "crates/inference/src", "edge/src", "edge/remote/src"] {
        collect(&root().join(folder), &mut sources);
    }
    sources.push(root().join("edge/spin.toml"));
    // Its own.
    sources.push(root().join("deploy/build"));
    let sources: String = sources.iter().map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect();
    let known: BTreeSet<&str> = variables(&sources).collect();
    let files = files();
    let used = files.iter().flat_map(|(file, text)| variables(text).map(move |name| (file, name)));
    let unknown: Vec<_> = used.filter(|(_, name)| !known.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_option_is_one_that_the_command_has() {
    let mut checked = 0;
    for (file, text) in files() {
        for line in text.lines() {
            for (at, _) in line.match_indices("easel ") {
                let before = line[..at].chars().next_back();
                let mut rest = line[at + "easel ".len()..].split([' ', '`', '"', '|', '&', ';', ')']);
                let Some(command) = rest.next().filter(|_| before.is_none_or(|c| " `/\"(".contains(c))) else {
                    continue;
                };
                if !["serve", "work", "health", "new-key", "pull", "inspect", "generate"].contains(&command) {
                    continue;
                }
                let help = Command::new(PROGRAM).args([command, "--help"]).output().unwrap();
                let help = String::from_utf8(help.stdout).unwrap();
                for option in rest.filter(|word| word.starts_with("--") && word.len() > 2) {
                    let name = option.split('=').next().unwrap();
                    let is_known = help.contains(&format!("{name} ")) || help.contains(&format!("{name}\n"));
                    assert!(is_known, "{file}: easel {command} has no {name}: {line}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 5, "only {checked} options were found");
}

#[test]
fn the_yaml_files_are_yaml_and_kubernetes_knows_what_each_part_is() {
    let mut kinds = Vec::new();
    for (file, text) in files() {
        if !(file.ends_with(".yaml") || file.ends_with(".yml")) {
            continue;
        }
        let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(!documents.is_empty(), "{file}");
        for document in documents {
            if file.contains("kubernetes") || file.contains("spinkube") {
                let field =
                    |name: &str| document[name].as_str().unwrap_or_else(|| panic!("{file}: no {name}")).to_owned();
                kinds.push((field("apiVersion"), field("kind")));
                let is_named = document["metadata"]["name"].as_str().is_some();
                assert!(is_named || ["Kustomization", "Component"].contains(&&*field("kind")), "{file}: no name");
            }
        }
    }
    let wanted = ["Namespace", "StatefulSet", "Deployment", "Service", "Ingress", "PodDisruptionBudget"];
    for kind in wanted.into_iter().chain(["HorizontalPodAutoscaler", "ScaledObject", "SpinApp"]) {
        assert!(kinds.iter().any(|(_, own)| own == kind), "{kind}");
    }
}

#[test]
fn the_configuration_of_the_image_is_valid() {
    let set = Overrides::read(&root().join("deploy/easel.toml")).unwrap();
    let config = Config::resolve([set]).unwrap();
    assert_eq!(config.network.connections_per_address, 0);
    let mut waiting = 0;
    for (file, text) in files() {
        let lines = text.lines().map(str::trim);
        let patience = lines.filter_map(|line| line.strip_prefix("terminationGracePeriodSeconds: "));
        for seconds in patience {
            assert!(seconds.parse::<u64>().unwrap() >= config.grace.as_secs() + 15, "{file}: {seconds}");
            waiting += 1;
        }
    }
    assert_eq!(waiting, 3, "one host, hosts that serve, and workers");
}

#[test]
fn the_unit_has_sections_with_settings() {
    let text = std::fs::read_to_string(root().join("deploy/easel.service")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (sections, settings): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with('['));
    assert_eq!(sections, ["[Unit]", "[Service]", "[Install]"]);
    for setting in settings {
        let (key, _) = setting.split_once('=').unwrap_or_else(|| panic!("{setting}"));
        assert!(key.starts_with(|c: char| c.is_ascii_uppercase()) && key.chars().all(|c| c.is_ascii_alphanumeric()));
    }
    // What systemd itself says, where it is.
    let folder = data();
    let unit = folder.path().join("easel.service");
    std::fs::write(&unit, text.replace("/usr/local/bin/easel", PROGRAM)).unwrap();
    match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output() {
        Ok(Output { stderr, .. }) => {
            let said = String::from_utf8(stderr).unwrap();
            let own: Vec<&str> = said.lines().filter(|line| line.contains("easel.service")).collect();
            assert!(own.is_empty(), "{own:?}");
        }
        Err(error) => eprintln!("skipped: systemd-analyze: {error}"),
    }
}
