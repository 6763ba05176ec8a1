//! What an operator sees: metrics with the files that read them, and the ids of requests.

use crate::models::copy;
use crate::{Host, agent, command, data};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A file of the repository.
fn file(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The metrics of a host that has drawn a picture.
fn metrics() -> String {
    let data = data();
    let host = Host::start(data.path(), &[]);
    let task = host.submit(3);
    host.until(&task, "completed");
    host.get("/metrics").body_mut().read_to_string().unwrap()
}

/// The names of the metrics in an expression of Prometheus.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("easel_") || word.starts_with("process_")).map(str::to_owned).collect()
}

/// Every text under one of these keys.
fn texts<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| texts(value, keys, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if keys.contains(&key.as_str()) => found.push(text),
                    value => texts(value, keys, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_metric_that_dashboard_and_alerts_name_exists() {
    let metrics = metrics();
    let samples: BTreeSet<&str> = metrics.lines().filter_map(|line| line.split(['{', ' ']).next()).collect();
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana/easel.json")).unwrap();
    let mut expressions = Vec::new();
    texts(&dashboard, &["expr", "query", "definition"], &mut expressions);
    assert!(expressions.len() > 20, "{expressions:?}");
    let alerts = file("deploy/prometheus/alerts.yml");
    expressions.extend(alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")));
    let scaling = ["keda", "adapter"].map(|with| file(&format!("deploy/kubernetes/cluster/{with}/workers.yaml")));
    for text in &scaling {
        let queries = text.lines().filter_map(|line| line.split_once("uery: ").map(|(_, query)| query));
        let before = expressions.len();
        expressions.extend(queries.filter(|query| query.contains("easel_waiting_tasks")));
        assert!(expressions.len() > before, "{text}");
    }
    let wanted: BTreeSet<String> = expressions.into_iter().flat_map(named).collect();
    assert!(wanted.len() > 15, "{wanted:?}");
    let missing: Vec<&String> = wanted.iter().filter(|name| !samples.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} are not in\n{metrics}");
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    let metrics = metrics();
    let families = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let there: BTreeSet<String> = families
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
        .collect();
    let text = file("OPERATING.md");
    let (_, section) = text.split_once("## Watch").expect("a section about metrics");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<String> = rows.filter_map(|row| row.split('`').nth(1)).map(str::to_owned).collect();
    assert_eq!(documented, there, "OPERATING.md and /metrics");
}

#[test]
fn phases_are_measured() {
    let metrics = metrics();
    for (phase, times) in [("load", 1), ("encode", 1), ("step", 3), ("decode", 1)] {
        let line = format!("easel_phase_seconds_count{{phase=\"{phase}\"}} {times}");
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    for line in ["easel_task_wait_seconds_count 1", "easel_tasks_finished_total{result=\"completed\"} 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn every_answer_has_an_id_that_is_the_clients_if_it_is_well_formed() {
    let data = data();
    let host = Host::start(data.path(), &[]);
    let id = |path: &str, sent: Option<&str>| {
        let request = agent().get(host.url(path));
        let request = sent.iter().fold(request, |request, id| request.header("x-request-id", *id));
        let answer = request.call().unwrap();
        (answer.status().as_u16(), answer.headers()["x-request-id"].to_str().unwrap().to_owned())
    };
    assert_eq!(id("/health", Some("mine-1")), (200, "mine-1".into()));
    assert_eq!(id("/v1/models/none", Some("mine-2")), (404, "mine-2".into()));
    assert_eq!(id("/no/such/route", Some("mine-3")), (404, "mine-3".into()));
    let (_, made) = id("/health", None);
    assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
    let (_, other) = id("/health", Some("not one word"));
    assert!(other != "not one word" && other != made, "{other}");
    let refused =
        agent().get(host.url("/tasks")).header("host", "evil.example").header("x-request-id", "mine-4").call();
    let refused = refused.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["x-request-id"]), (421, &"mine-4".parse().unwrap()));
}

#[test]
fn a_failed_task_is_logged_with_the_request_that_queued_it() {
    let folder = data();
    let models = folder.path().join("models");
    copy(&models, "broken", "DDIMScheduler");
    let lines = Arc::new(Mutex::new(Vec::<String>::new()));
    let kept = Arc::clone(&lines);
    let args = ["--models", models.to_str().unwrap(), "--log", "json"];
    let host = Host::logged(command(&folder.path().join("data"), &args), move |line| kept.lock().unwrap().push(line));
    std::fs::write(models.join("broken/unet/config.json"), "{").unwrap();

    let body = json!({ "prompt": "a", "model": "broken", "width": 64, "height": 64, "steps": 1 });
    let request = agent().post(host.url("/generate")).header("x-request-id", "mine-5");
    let answer: Value = request.send_json(&body).unwrap().into_body().read_json().unwrap();
    let task = answer["task_id"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(host.until_ended(task)["status"], "error");
    let is_logged = || lines.lock().unwrap().iter().any(|line| line.contains(task) && line.contains("\"mine-5\""));
    let began = Instant::now();
    while !is_logged() {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", lines.lock().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
}
