//! `easel serve`, started as by an operator and called as by clients.

mod access;
mod analysis;
mod answers;
#[cfg(all(feature = "cluster", unix))]
mod cluster;
mod connections;
mod deploy;
mod faults;
mod gpus;
mod lifecycle;
mod limits;
mod manifests;
mod models;
mod observing;
mod orchestration;
mod requests;
mod store;
#[cfg(all(feature = "otel", unix))]
mod traces;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use ureq::http::Response;

/// A running server; it is killed when the test ends.
struct Host {
    child: Child,
    address: String,
}

impl Host {
    /// Starts a server with the embedded model on a data folder.
    fn start(data: &Path, args: &[&str]) -> Self {
        Self::run(command(data, args))
    }

    fn run(command: Command) -> Self {
        // The log is read, so that the server never waits for us.
        Self::logged(command, drop)
    }

    /// The same, with what happens to each line of its log once it listens.
    fn logged(mut command: Command, each: impl FnMut(String) + Send + 'static) -> Self {
        let options = [
            "API_KEY_FILE",
            "CAIKIT",
            "CLIP",
            "COMPONENT",
            "CONFIG",
            "GRPC",
            "HOST_NAMES",
            "LISTEN",
            "MODEL",
            "MODELS",
            "ORIGINS",
            "PICTURES",
            "SAM",
            "SITE",
            "STORE",
        ]
        .map(|name| format!("EASEL_{name}"));
        for name in options.iter().map(String::as_str).chain(["MODEL", "RUST_LOG"]) {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address =
            lines.by_ref().find_map(|line| line.strip_prefix("easel: listening on http://").map(str::to_owned));
        std::thread::spawn(move || lines.for_each(each));
        Self { child, address: address.expect("the server listens") }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn get(&self, path: &str) -> Response<ureq::Body> {
        agent().get(self.url(path)).call().unwrap()
    }

    fn json(&self, path: &str) -> Value {
        self.get(path).body_mut().read_json().unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> Response<ureq::Body> {
        agent().post(self.url(path)).send_json(body).unwrap()
    }

    /// Submits a task through the task routes and returns its id.
    fn submit(&self, steps: u32) -> String {
        let body = json!({ "prompt": "a red apple", "width": 64, "height": 64, "steps": steps, "seed": 7 });
        let answer: Value = self.post("/generate", &body).body_mut().read_json().unwrap();
        answer["task_id"].as_str().unwrap().to_owned()
    }

    /// Waits until a task has this status.
    fn until(&self, task: &str, status: &str) -> Value {
        let began = Instant::now();
        loop {
            let found = self.json(&format!("/status/{task}"));
            if found["status"] == status {
                return found;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{found} is not {status}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a task has ended in any way.
    fn until_ended(&self, task: &str) -> Value {
        loop {
            let found = self.json(&format!("/status/{task}"));
            if !["pending", "processing"].contains(&found["status"].as_str().unwrap()) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command that starts a server.
fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_easel"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--device", "cpu", "--data"]).arg(data).args(args);
    command
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().new_agent()
}

fn data() -> TempDir {
    tempfile::tempdir().unwrap()
}
