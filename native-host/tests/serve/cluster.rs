//! Several hosts on one queue, as an operator starts them: HTTP hosts without engines, and workers with at most metrics and
//! health.

#[path = "../../../crates/jobs/tests/cluster/server.rs"]
mod server;

use crate::{Host, agent, command, data, deploy};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What the hosts share.
struct Shared {
    folder: TempDir,
    store: String,
    pictures: String,
}

impl Shared {
    fn new(server: &server::Server) -> Self {
        let folder = data();
        let store = server.url(&server.make_database());
        let pictures = format!("file://{}", folder.path().display());
        Self { folder, store, pictures }
    }

    /// A host that only serves.
    fn front(&self) -> Host {
        let shared = ["--store", &self.store, "--pictures", &self.pictures, "--engines", "0"];
        Host::run(command(&self.folder.path().join("unused"), &shared))
    }

    /// A host that only draws.
    fn worker(&self, args: &[&str]) -> Worker {
        let mut work = Command::new(env!("CARGO_BIN_EXE_easel"));
        work.args(["work", "--device", "cpu"]).args(args);
        Worker::start(self.at_work(&mut work))
    }

    /// The command with what is shared.
    fn at_work<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("EASEL_STORE", &self.store).env("EASEL_PICTURES", &self.pictures)
    }
}

/// A running worker; it is killed when the test ends.
struct Worker {
    child: Child,
    /// Where its metrics are, if anywhere.
    admin: Option<String>,
}

impl Worker {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut admin = None;
        let works = lines.any(|line| {
            let address = line.strip_prefix("easel: metrics and health on http://").map(str::to_owned);
            admin = address.or(admin.take());
            line == "easel: working"
        });
        assert!(works, "the worker works");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, admin }
    }

    /// The status and the text of an answer to a client with this key.
    fn ask(&self, path: &str, key: &str) -> (u16, String) {
        let address = self.admin.as_ref().expect("the worker has an address");
        let request = agent().get(format!("http://{address}{path}")).header("x-api-key", key);
        let mut answer = request.call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The events of a task to its end.
fn events(host: &Host, task: &str) -> Vec<Value> {
    let answer = host.get(&format!("/generate-stream/{task}"));
    let lines = BufReader::new(answer.into_body().into_reader()).lines().map(Result::unwrap);
    lines.filter_map(|line| Some(serde_json::from_str(line.strip_prefix("data:")?.trim()).unwrap())).collect()
}

#[test]
fn any_host_streams_cancels_and_shows_the_tasks_of_all() {
    let Some(server) = server::server() else { return };
    let shared = Shared::new(server);
    let [first, second] = [shared.front(), shared.front()];
    for host in [&first, &second] {
        assert_eq!(host.json("/health/ready")["status"], "ready");
    }
    let task = first.submit(12);
    assert_eq!(second.json(&format!("/status/{task}"))["status"], "pending");
    let held = first.submit(1000);
    std::thread::scope(|scope| {
        let there = scope.spawn(|| events(&second, &task));
        let here = scope.spawn(|| events(&first, &task));
        let _worker = shared.worker(&[]);
        let steps = |events: Vec<Value>| -> Vec<u64> {
            assert_eq!(events.last().unwrap()["status"], "completed");
            let steps = events.iter().filter(|event| event["status"] == "processing");
            steps.filter_map(|event| event["step"].as_u64().filter(|step| *step > 0)).collect()
        };
        let every: Vec<u64> = (1..=12).collect();
        assert_eq!(steps(there.join().unwrap()), every);
        assert_eq!(steps(here.join().unwrap()), every);

        second.until(&held, "processing");
        assert_eq!(second.post("/cancel-generation", &json!({ "task_id": held })).status(), 200);
        assert_eq!(first.until_ended(&held)["status"], "cancelled");
        let next = second.submit(1);
        first.until(&next, "completed");
    });
    for host in [&first, &second] {
        let listed = host.json("/images");
        assert_eq!(listed["length"], 2);
        let mut picture = host.get(&format!("/images/{}", listed["slice"][0]["id"]));
        assert!(picture.body_mut().read_to_vec().unwrap().starts_with(b"\x89PNG"));
    }
    assert!(!shared.folder.path().join("unused").exists(), "a host has no data of its own");
}

#[test]
fn a_task_that_a_stopping_worker_cannot_finish_is_drawn_by_another_one() {
    let Some(server) = server::server() else { return };
    let shared = Shared::new(server);
    let front = shared.front();
    let worker = shared.worker(&["--grace", "0"]);
    let task = front.submit(60);
    front.until(&task, "processing");
    worker.stop();
    assert_ne!(front.json(&format!("/status/{task}"))["status"], "error");
    let _other = shared.worker(&[]);
    front.until(&task, "completed");
}

/// Which of these lines the text lacks.
fn missing<'a>(text: &str, lines: &[&'a str]) -> Vec<&'a str> {
    lines.iter().filter(|line| !text.lines().any(|found| found == **line)).copied().collect()
}

#[test]
fn the_image_starts_a_worker_that_shows_metrics_and_health_and_nothing_else() {
    let Some(server) = server::server() else { return };
    let shared = Shared::new(server);
    let image = deploy::image();
    let folder = data();
    let mut start = deploy::starting(image.path(), folder.path());
    start.arg("work").env("EASEL_ADMIN", "127.0.0.1:0");
    let worker = Worker::start(shared.at_work(&mut start));
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(worker.ask(path, "another").0, 200, "{path}");
    }
    for path in ["/", "/health", "/tasks", "/docs", "/openapi.json", "/studio/0.1"] {
        assert_eq!(worker.ask(path, "another").0, 404, "{path}");
    }
    let before = ["easel_pictures_total 0", "easel_denoising_steps_total 0"];
    let (status, text) = worker.ask("/metrics", "another");
    assert_eq!((status, missing(&text, &before)), (200, vec![]), "{text}");

    let front = shared.front();
    let task = front.submit(3);
    front.until(&task, "completed");
    let after = [
        "easel_pictures_total 1",
        "easel_denoising_steps_total 3",
        "easel_tasks_finished_total{result=\"completed\"} 1",
        "easel_tasks{status=\"completed\"} 1",
        "easel_waiting_tasks{priority=\"normal\"} 0",
    ];
    let (_, text) = worker.ask("/metrics", "another");
    assert_eq!(missing(&text, &after), Vec::<&str>::new(), "{text}");
    let url = format!("http://{}", worker.admin.as_ref().unwrap());
    let health = Command::new(image.path().join("usr/bin/easel")).args(["health", &url]).output().unwrap();
    assert!(health.status.success() && health.stdout == b"ready\n", "{health:?}");
    worker.stop();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a worker keeps nothing and needs no key");
}

#[test]
fn the_metrics_of_a_worker_need_a_key_if_there_are_keys() {
    let Some(server) = server::server() else { return };
    let shared = Shared::new(server);
    let keys = shared.folder.path().join("keys.toml");
    let made = Command::new(env!("CARGO_BIN_EXE_easel")).args(["new-key", "first", "--file"]).arg(&keys).output();
    let made = String::from_utf8(made.unwrap().stdout).unwrap();
    let worker = shared.worker(&["--admin", "127.0.0.1:0", "--api-key-file", keys.to_str().unwrap()]);
    let statuses = [("/metrics", "another"), ("/metrics", made.trim()), ("/health/ready", "another")];
    assert_eq!(statuses.map(|(path, key)| worker.ask(path, key).0), [401, 200, 200]);
}

/// The message of a command that fails at the start.
fn refused(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_easel"));
    command.args(args).env("RUST_LOG", "error").env_remove("EASEL_STORE").env_remove("EASEL_PICTURES");
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    stderr.trim_end().to_owned()
}

#[test]
fn wrong_settings_are_named_and_no_password_is_shown() {
    let lone = refused(&["serve", "--store", "postgres://me:secret@db/easel"]);
    assert_eq!(lone, "easel: store needs pictures: several hosts share both their tasks and their pictures");
    assert!(refused(&["serve", "--engines", "0"]).ends_with("engines must be between 1 and 64, got 0"));
    assert!(refused(&["work"]).starts_with("easel: store is not set: "));
    let folder = data();
    let pictures = format!("file://{}", folder.path().display());
    let gone = refused(&["work", "--store", "postgres://me:secret@127.0.0.1:1/easel", "--pictures", &pictures]);
    assert!(gone.starts_with("easel: store: ") && !gone.contains("secret"), "{gone}");
    let wrong = refused(&["work", "--store", "mysql://me:secret@db/easel", "--pictures", &pictures]);
    assert_eq!(wrong, "easel: store: expected postgres://USER:PASSWORD@HOST/NAME");
    let nowhere = refused(&["work", "--store", "postgres://me:secret@127.0.0.1:1/easel", "--pictures", "pictures"]);
    assert!(nowhere.starts_with("easel: pictures: expected s3://BUCKET/PREFIX, "), "{nowhere}");
}
