//! The steps of the image without Docker: what its scripts build, and how it starts.

#![cfg(unix)]

use crate::manifests::{PROGRAM, collect, root};
use crate::{agent, data};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A folder with what the image has, built by the image's script.
pub(crate) fn image() -> tempfile::TempDir {
    let folder = data();
    let mut build = Command::new(root().join("deploy/build"));
    let built = build.arg(folder.path()).env("EASEL_PROGRAM", PROGRAM).env_remove("EASEL_VARIANT").output().unwrap();
    assert!(built.status.success(), "{built:?}");
    folder
}

/// The image's start script as a container runs it: with the image's program first on the path, and no other variables.
pub(crate) fn starting(image: &Path, data: &Path) -> Command {
    let mut start = Command::new(image.join("usr/bin/easel-start"));
    let program = image.join("usr/bin");
    start.env_clear().env("PATH", format!("{}:/usr/bin:/bin", program.display())).env("HOME", "/nowhere");
    start.env("EASEL_DATA", data).env("EASEL_DEVICE", "cpu").env("MODEL", "easel-emoji");
    start.env("EASEL_CONFIG", image.join("etc/easel/easel.toml"));
    start
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
        let mut start = starting(image, data);
        start.env("EASEL_LISTEN", "127.0.0.1:0");
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
fn hosts_that_share_a_folder_can_have_their_key_made_before_they_start() {
    let image = image();
    let folder = data();
    let prepare = || {
        let output = starting(image.path(), folder.path()).arg("prepare").output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = prepare();
    let key = said.trim_end().rsplit(' ').next().unwrap();
    assert!(said.starts_with("easel-start: the key for clients, ") && said.lines().count() == 1, "{said}");
    assert_eq!(prepare(), "", "the key stays");
    let host = Container::start(image.path(), folder.path());
    assert_eq!((host.key(), host.status(key)), (None, 200));
}

#[test]
fn the_build_for_spin_is_a_manifest_with_its_components() {
    let components = data();
    for name in ["easel_edge.wasm", "easel_remote.wasm"] {
        std::fs::write(components.path().join(name), name).unwrap();
    }
    let folder = data();
    let mut build = Command::new(root().join("deploy/build"));
    build.arg(folder.path()).env("EASEL_VARIANT", "spin").env("EASEL_COMPONENTS", components.path());
    let built = build.output().unwrap();
    assert!(built.status.success(), "{built:?}");
    let manifest = std::fs::read_to_string(folder.path().join("spin.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let components = manifest["component"].as_table().unwrap();
    assert_eq!(components.len(), 2);
    for (name, component) in components {
        let source = component["source"].as_str().unwrap();
        assert!(folder.path().join(source).is_file(), "{name}: {source}");
    }
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
