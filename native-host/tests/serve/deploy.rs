//! The files for operators: their syntax, the options and variables that they use, and the steps of the image without Docker.

#![cfg(unix)]

use crate::{agent, data};
use easel_host::serve::{Config, Overrides};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use yaml_rust2::{Yaml, YamlLoader};

const PROGRAM: &str = env!("CARGO_BIN_EXE_easel");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => collect(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

/// The files for operators, with their texts.
fn files() -> Vec<(String, String)> {
    let mut found = vec![root().join("compose.yaml"), root().join("OPERATING.md")];
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
    // Its own three.
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
                if !["serve", "health", "new-key", "pull", "inspect", "generate"].contains(&command) {
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
                assert!(is_named || field("kind") == "Kustomization", "{file}: no name");
            }
        }
    }
    for kind in ["Namespace", "StatefulSet", "Service", "Ingress", "SpinApp", "HorizontalPodAutoscaler"] {
        assert!(kinds.iter().any(|(_, own)| own == kind), "{kind}");
    }
}

#[test]
fn every_volume_of_compose_and_every_file_that_it_mounts_is_there() {
    let text = std::fs::read_to_string(root().join("compose.yaml")).unwrap();
    let compose = YamlLoader::load_from_str(&text).unwrap().remove(0);
    let declared: BTreeSet<&str> = compose["volumes"].as_hash().unwrap().keys().filter_map(Yaml::as_str).collect();
    let services = compose["services"].as_hash().unwrap();
    for (name, service) in services {
        for volume in service["volumes"].as_vec().into_iter().flatten() {
            let source = volume.as_str().unwrap().split(':').next().unwrap();
            let is_there =
                if source.starts_with('.') { root().join(source).is_file() } else { declared.contains(source) };
            assert!(is_there, "{name:?}: {source}");
        }
        let dockerfile = service["build"]["dockerfile"].as_str();
        assert!(dockerfile.is_none_or(|file| root().join(file).is_file()), "{dockerfile:?}");
    }
    assert_eq!(services.len(), 2);
}

#[test]
fn the_configuration_of_the_image_is_valid() {
    let set = Overrides::read(&root().join("deploy/easel.toml")).unwrap();
    let config = Config::resolve([set]).unwrap();
    assert_eq!(config.network.connections_per_address, 0);
    let stop = std::fs::read_to_string(root().join("deploy/kubernetes/host.yaml")).unwrap();
    let patience = stop.lines().find_map(|line| line.trim().strip_prefix("terminationGracePeriodSeconds: ")).unwrap();
    assert!(patience.parse::<u64>().unwrap() >= config.grace.as_secs() + 15, "{patience}");
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

/// A folder with what the image has, built by the image's script.
fn image() -> tempfile::TempDir {
    let folder = data();
    let mut build = Command::new(root().join("deploy/build"));
    let built = build.arg(folder.path()).env("EASEL_PROGRAM", PROGRAM).env_remove("EASEL_VARIANT").output().unwrap();
    assert!(built.status.success(), "{built:?}");
    folder
}

/// A container without Docker: the image's start script, with its program first on the path.
struct Container {
    child: Child,
    /// What it said before it listened.
    said: Vec<String>,
    address: String,
}

impl Container {
    fn start(image: &Path, data: &Path) -> Self {
        let mut start = Command::new(image.join("usr/bin/easel-start"));
        let program = image.join("usr/bin");
        start.env_clear().env("PATH", format!("{}:/usr/bin:/bin", program.display())).env("HOME", "/nowhere");
        start.env("EASEL_DATA", data).env("EASEL_LISTEN", "127.0.0.1:0").env("EASEL_DEVICE", "cpu");
        start.env("EASEL_CONFIG", image.join("etc/easel/easel.toml")).env("MODEL", "easel-emoji");
        let mut child = start.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut said = Vec::new();
        let listening = lines.by_ref().find_map(|line| {
            let address = line.strip_prefix("easel: listening on http://").map(str::to_owned);
            said.push(line);
            address
        });
        std::thread::spawn(move || lines.for_each(drop));
        let address = listening.unwrap_or_else(|| panic!("{said:?}"));
        Self { child, said, address }
    }

    /// The status of the list of tasks for a client with this key.
    fn status(&self, key: &str) -> u16 {
        let request = agent().get(format!("http://{}/tasks", self.address));
        request.header("x-api-key", key).call().unwrap().status().as_u16()
    }

    fn key(&self) -> Option<&str> {
        self.said
            .iter()
            .find_map(|line| line.strip_prefix("easel-start: the key for clients, which is not shown again: "))
    }

    fn stop(&mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_image_is_built_and_started_by_its_scripts_and_keeps_what_it_has() {
    let image = image();
    let folder = data();
    let stamps = || {
        let mut files = Vec::new();
        collect(image.path(), &mut files);
        files.sort();
        files.into_iter().map(|path| (path.metadata().unwrap().modified().unwrap(), path)).collect::<Vec<_>>()
    };
    let before = stamps();
    let mut first = Container::start(image.path(), folder.path());
    let key = first.key().expect("the first start prints a key").to_owned();
    assert_eq!((first.status(&key), first.status("another")), (200, 401));
    let url = format!("http://{}", first.address);
    let health = Command::new(image.path().join("usr/bin/easel")).args(["health", &url]).output().unwrap();
    assert!(health.status.success() && health.stdout == b"ready\n", "{health:?}");
    first.stop();

    let second = Container::start(image.path(), folder.path());
    assert_eq!((second.key(), second.status(&key)), (None, 200), "the key stays");
    assert_eq!(stamps(), before, "the root may be read-only");
}

#[test]
fn a_service_that_is_not_there_or_not_easel_is_not_healthy() {
    let health = |args: &[&str]| {
        let output = Command::new(PROGRAM).arg("health").args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = health(&["http://127.0.0.1:1"]);
    assert!(
        code == Some(1) && said.starts_with("easel: http://127.0.0.1:1/health/ready: ") && said.lines().count() == 1
    );
    let folder = data();
    let host = crate::Host::start(folder.path(), &[]);
    let (code, said) = health(&[&host.url("/nothing"), "--live"]);
    assert!(code == Some(1) && said.contains("this is not an Easel service: it answered 404"), "{said}");
    assert_eq!(health(&["--listen", &host.address]).0, Some(0));
    assert_eq!(health(&["--listen", "nowhere"]).0, Some(2));
}
