//! The protocol as lines of JSON, as a client of `easel mcp` sends and reads them.

use crate::Served;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use easel_contract::Service;
use easel_contract::service::{Paging, Status, TaskFilter};
use easel_host::mcp::{Studio, serve};
use easel_host::serve::Config;
use easel_picture::{EncodeOptions, Image, ImageFormat, Limits, read_metadata};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};

/// A client after the handshake.
struct Agent {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    input: WriteHalf<DuplexStream>,
    served: Served,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Agent {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// The same for a server with another configuration.
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let served = Served::start(change);
        let (client, server) = tokio::io::duplex(1 << 16);
        let studio = Studio::new(Arc::new(served.service.clone()), &served.config);
        let server = tokio::spawn(serve(studio, tokio::io::split(server)));
        let (output, input) = tokio::io::split(client);
        let mut agent = Self { lines: BufReader::new(output).lines(), input, served, server };
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "a test", "version": "1" },
        });
        let answer = agent.ask(0, "initialize", hello).await;
        assert_eq!(answer["result"]["serverInfo"]["name"], "easel");
        assert!(answer["result"]["capabilities"]["tools"].is_object(), "{answer}");
        agent.send(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        agent
    }

    async fn send(&mut self, message: Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(60), self.lines.next_line()).await;
        serde_json::from_str(&line.unwrap().unwrap().expect("a message")).unwrap()
    }

    /// The answer to a request; notifications before it are dropped.
    async fn ask(&mut self, id: u32, method: &str, params: Value) -> Value {
        self.send(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        loop {
            let message = self.next().await;
            if message["id"] == id {
                return message;
            }
        }
    }

    async fn call(&mut self, id: u32, name: &str, arguments: Value) -> Value {
        self.ask(id, "tools/call", json!({ "name": name, "arguments": arguments })).await["result"].take()
    }

    /// The statuses of all tasks.
    async fn statuses(&self) -> Vec<Status> {
        let filter = TaskFilter { status: None, paging: Paging { page: 1, limit: 10 } };
        self.served.service.tasks(filter).await.unwrap().items.into_iter().map(|task| task.status).collect()
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_picture_is_drawn_linked_read_and_edited() {
    let mut agent = Agent::start().await;
    let tools = agent.ask(1, "tools/list", json!({})).await;
    let names: Vec<&str> =
        tools["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["generate_image", "edit_image", "list_models"]);
    let models = agent.call(2, "list_models", json!({})).await;
    assert_eq!(models["structuredContent"]["models"][0]["name"], "easel-emoji");

    let arguments = json!({ "prompt": "a red apple", "width": 64, "height": 64, "steps": 3, "seed": 7 });
    let drawn = agent.call(3, "generate_image", arguments).await;
    assert_eq!(drawn["isError"], false, "{drawn}");
    let content = drawn["content"].as_array().unwrap();
    let kinds: Vec<&str> = content.iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "image", "resource_link"]);
    let preview = decoded(&content[1]["data"]);
    assert_eq!(Image::dimensions(&preview).unwrap(), (64, 64));
    let uri = content[2]["uri"].as_str().unwrap().to_owned();
    assert!(uri.starts_with("easel://images/"), "{uri}");

    let read = agent.ask(4, "resources/read", json!({ "uri": uri })).await;
    let contents = &read["result"]["contents"][0];
    let png = decoded(&contents["blob"]);
    assert_eq!(contents["mimeType"], "image/png");
    assert!(read_metadata(&png).unwrap().unwrap().contains("Seed: 7"));
    let listed = agent.ask(5, "resources/list", json!({})).await;
    assert_eq!(listed["result"]["resources"][0]["uri"], uri);

    let edit =
        json!({ "prompt": "a green apple", "image": uri, "steps": 4, "strength": 0.5, "format": "webp", "seed": 8 });
    let edited = agent.call(6, "edit_image", edit).await;
    assert_eq!(edited["structuredContent"]["pictures"][0]["media_type"], "image/webp", "{edited}");
    assert_eq!(agent.statuses().await, [Status::Completed, Status::Completed]);
    assert!(Image::decode(&png, &Limits::default()).is_ok());
}

/// A part of the reference numbers: a small network with random weights.
fn golden(name: &str) -> Option<String> {
    Some(format!("{}/../tests/golden/{name}", env!("CARGO_MANIFEST_DIR")))
}

#[tokio::test]
async fn a_picture_is_analysed_and_its_mask_edits_it() {
    let mut agent = Agent::with(|config| {
        config.clip = golden("clip-vit");
        config.sam = golden("sam");
    })
    .await;
    let tools = agent.ask(1, "tools/list", json!({})).await;
    assert_eq!(tools["result"]["tools"][3]["name"], "analyze_image", "{tools}");

    let png = Image::stub(640, 320).unwrap().encode(ImageFormat::Png, &EncodeOptions::default()).unwrap();
    let picture = STANDARD.encode(png);
    let regions = json!([[30, 20], [100, 100, 300, 200]]);
    let arguments = json!({ "image": picture, "texts": ["a disc", "a cat"], "regions": regions });
    let seen = agent.call(2, "analyze_image", arguments).await;
    assert_eq!(seen["isError"], false, "{seen}");
    let content = seen["content"].as_array().unwrap();
    let kinds: Vec<&str> = content.iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "text", "image"]);
    assert!(content[0]["text"].as_str().unwrap().contains(" % a cat"), "{seen}");
    assert!(content[1]["text"].as_str().unwrap().contains("Mask 2 of region 2, light blue"), "{seen}");
    assert_eq!(Image::dimensions(&decoded(&content[2]["data"])).unwrap(), (256, 128));
    let scores = seen["structuredContent"]["scores"].as_array().unwrap();
    let sum: f64 = scores.iter().map(|score| score["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-4 && scores[0]["probability"].as_f64() >= scores[1]["probability"].as_f64());
    let masks = seen["structuredContent"]["masks"].as_array().unwrap();
    assert_eq!(masks.len(), 2, "the best of each region");
    let mask = masks[1]["mask"].clone();
    assert_eq!(Image::dimensions(&decoded(&mask)).unwrap(), (640, 320));

    let edit = json!({
        "prompt": "a green apple", "image": picture, "mask": mask, "steps": 2, "width": 64, "height": 64,
    });
    let edited = agent.call(3, "edit_image", edit).await;
    assert_eq!(edited["isError"], false, "{edited}");

    let outside = json!({ "image": picture, "texts": ["a cat"], "regions": [[641, 0]] });
    let refused = agent.call(4, "analyze_image", outside).await;
    let reason = refused["content"][0]["text"].as_str().unwrap();
    assert!(refused["isError"] == true && reason.starts_with("regions: the point 641,0 is outside"), "{reason}");
}

#[tokio::test]
async fn an_analysis_with_one_model_says_what_is_missing() {
    let png = Image::stub(64, 48).unwrap().encode(ImageFormat::Png, &EncodeOptions::default()).unwrap();
    let arguments = json!({ "image": STANDARD.encode(png), "texts": ["a disc"], "regions": [[30, 20]] });
    let mut seer = Agent::with(|config| config.clip = golden("clip-vit")).await;
    let seen = seer.call(1, "analyze_image", arguments.clone()).await;
    assert_eq!(seen["structuredContent"]["scores"][0]["text"], "a disc", "{seen}");
    assert!(seen["content"][1]["text"].as_str().unwrap().starts_with("No masks: sam: no model"), "{seen}");

    let mut cutter = Agent::with(|config| config.sam = golden("sam")).await;
    let seen = cutter.call(1, "analyze_image", arguments.clone()).await;
    assert!(seen["content"][0]["text"].as_str().unwrap().starts_with("No probabilities: clip: no model"), "{seen}");
    assert_eq!(seen["structuredContent"]["masks"][0]["region"], 0, "{seen}");

    let mut blind = Agent::start().await;
    let unknown = blind.ask(1, "tools/call", json!({ "name": "analyze_image", "arguments": arguments })).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}

#[tokio::test]
async fn progress_comes_from_the_steps_and_a_cancelled_call_stops_within_one() {
    let mut agent = Agent::start().await;
    let arguments = json!({ "prompt": "a red apple", "width": 64, "height": 64, "steps": 1000 });
    let params = json!({ "name": "generate_image", "arguments": arguments, "_meta": { "progressToken": "mine" } });
    agent.send(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
    for step in 1..=2 {
        let message = agent.next().await;
        assert_eq!(message["method"], "notifications/progress", "{message}");
        let params = &message["params"];
        assert_eq!((&params["progressToken"], &params["total"]), (&json!("mine"), &json!(1000.0)));
        assert!(params["progress"].as_f64().unwrap() >= f64::from(step));
    }
    let params = json!({ "requestId": 1, "reason": "enough" });
    agent.send(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
    // The engine takes the next one when it has let go of this one.
    let arguments = json!({ "prompt": "a tree", "width": 64, "height": 64, "steps": 1 });
    let next = agent.call(2, "generate_image", arguments).await;
    assert_eq!(next["isError"], false, "{next}");
    assert_eq!(agent.statuses().await, [Status::Completed, Status::Cancelled]);
}

#[tokio::test]
async fn errors_are_answers_that_the_model_can_read() {
    let mut agent = Agent::start().await;
    let wrong = [
        ("generate_image", json!({}), "prompt: required"),
        ("generate_image", json!({ "prompt": "a", "model": "gpt" }), "model: \"gpt\" is not a known model"),
        ("generate_image", json!({ "prompt": "a", "width": 100 }), "width: invalid value: integer `100`"),
        ("edit_image", json!({ "prompt": "a", "image": "AQID" }), "image: must be a PNG, a JPEG or a WebP"),
        ("edit_image", json!({ "prompt": "a", "image": "easel://images/9/0af1" }), "Image not found"),
    ];
    for (id, (name, arguments, expected)) in (1..).zip(wrong) {
        let answer = agent.call(id, name, arguments).await;
        let text = answer["content"][0]["text"].as_str().unwrap_or_default();
        assert!(answer["isError"] == true && text.to_lowercase().starts_with(&expected.to_lowercase()), "{answer}");
    }
    let unknown = agent.ask(9, "tools/call", json!({ "name": "sing", "arguments": {} })).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    for uri in ["easel://images/9/0af1", "file:///etc/passwd", ""] {
        let missing = agent.ask(10, "resources/read", json!({ "uri": uri })).await;
        assert_eq!(missing["error"]["code"], -32002, "{missing}");
    }
    assert!(agent.statuses().await.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_server_and_its_task() {
    let mut agent = Agent::start().await;
    let arguments = json!({ "prompt": "a red apple", "width": 64, "height": 64, "steps": 1000 });
    let params = json!({ "name": "generate_image", "arguments": arguments, "_meta": { "progressToken": 1 } });
    agent.send(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })).await;
    agent.next().await;
    let Agent { lines, input, served, server } = agent;
    drop((lines, input));
    server.await.unwrap().unwrap();
    let filter = || TaskFilter { status: Some(Status::Cancelled), paging: Paging { page: 1, limit: 10 } };
    for _ in 0..1000 {
        if served.service.tasks(filter()).await.unwrap().total == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the task was not cancelled");
}
