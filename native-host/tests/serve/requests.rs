//! Pictures through every route that clients use.

use crate::{Host, agent, data};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use ureq::http::header;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

#[test]
fn a_task_is_submitted_watched_and_fetched() {
    let data = data();
    let host = Host::start(data.path(), &[]);
    let task = host.submit(4);
    let answer = host.get(&format!("/generate-stream/{task}?preview=1"));
    let lines = BufReader::new(answer.into_body().into_reader()).lines().map(Result::unwrap);
    let events: Vec<Value> =
        lines.filter_map(|line| Some(serde_json::from_str(line.strip_prefix("data:")?.trim()).unwrap())).collect();
    let last = events.last().unwrap();
    assert_eq!((&last["status"], &last["progress"]), (&json!("completed"), &json!(100)));
    assert!(last["result"]["image_url"].as_str().unwrap().starts_with("iVBORw0KGgo"), "a PNG in base64");
    let steps: Vec<_> = events.iter().filter(|event| event["status"] == "processing").map(|e| &e["step"]).collect();
    assert!(steps.is_sorted_by_key(|step| step.as_u64()), "{steps:?}");
    assert!(events.iter().any(|event| event["preview"].as_str().is_some_and(|jpeg| jpeg.starts_with("/9j/"))));

    let listed = host.json("/images");
    assert_eq!(listed["length"], 1);
    let mut answer = host.get(&format!("/images/{}", listed["slice"][0]["id"]));
    assert_eq!((answer.status(), &answer.headers()["x-easel-seed"]), (200.try_into().unwrap(), &"7".parse().unwrap()));
    let bytes = answer.body_mut().read_to_vec().unwrap();
    assert!(bytes.starts_with(PNG));
    assert!(bytes.windows(4).any(|chunk| chunk == b"tEXt") && bytes.windows(7).any(|text| text == b"Seed: 7"));
}

#[test]
fn an_image_is_drawn_while_the_client_waits_also_from_another_one() {
    let data = data();
    let host = Host::start(data.path(), &[]);
    let size = |name: &str| (name.to_owned(), json!(64));
    let mut body: serde_json::Map<String, Value> = [size("H"), size("W")].into_iter().collect();
    body.extend([("prompt".into(), json!("a tree")), ("ddim_steps".into(), json!(2)), ("n_samples".into(), json!(2))]);
    let images: Vec<String> = host.post("/imagine", &body.clone().into()).body_mut().read_json().unwrap();
    assert_eq!(images.len(), 2);

    body.extend([("init_image".into(), json!(images[0])), ("strength".into(), json!(0.5))]);
    let request = agent().post(host.url("/imagine")).header(header::ACCEPT, "image/png");
    let mut answer = request.send_json(&body).unwrap();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "image/png");
    assert!(answer.body_mut().read_to_vec().unwrap().starts_with(PNG));

    body.insert("init_image".into(), json!("iVBORw0KGgpub3QgcmVhbGx5"));
    let mut refused = host.post("/imagine", &body.into());
    assert_eq!(refused.status(), 422, "an undecodable picture is not queued");
    assert!(refused.body_mut().read_to_string().unwrap().contains("init_image"));
}

#[test]
fn only_models_that_were_configured_may_be_named() {
    let data = data();
    let host = Host::start(data.path(), &["--model", "stub"]);
    let run = |model: &str| host.post("/pipeline/run", &json!({ "prompt": "a", "model": model })).status().as_u16();
    assert_eq!((run("sd-turbo"), run("/etc/passwd"), run("../models/easel-emoji")), (404, 404, 404));
    assert_eq!(run("stub"), 200);
}

#[test]
fn metrics_count_the_work() {
    let data = data();
    let host = Host::start(data.path(), &[]);
    let task = host.submit(3);
    host.until(&task, "completed");
    let metrics = host.get("/metrics").body_mut().read_to_string().unwrap();
    for line in ["easel_denoising_steps_total 3", "easel_pictures_total 1", "easel_tasks{status=\"completed\"} 1"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains("route=\"/status/{task_id}\",status=\"200\"}"), "{metrics}");
}
