//! `easel pull` from a small hub on this machine, and `generate` with the cached model.

use super::{Folder, repository};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Serves files like the hub, on this machine, for as long as the test runs.
fn hub(files: BTreeMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let files = Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let files = files.clone();
            std::thread::spawn(move || answer(&stream.unwrap(), &files));
        }
    });
    address
}

/// Answers one request and closes the connection.
fn answer(mut stream: &TcpStream, files: &BTreeMap<String, Vec<u8>>) {
    let lines: Vec<String> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
    let list = || {
        let names: Vec<_> = files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        serde_json::json!({ "sha": COMMIT, "siblings": names }).to_string().into_bytes()
    };
    let body = match path.strip_prefix("/owner/model/resolve/").and_then(|rest| rest.split_once('/')) {
        Some((_, file)) => files.get(file).cloned(),
        None => path.starts_with("/api/models/owner/model/").then(list),
    };
    let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let etag =
        format!("{:040x}", body.iter().fold(path.len() as u128, |sum, byte| sum * 31 % (1 << 60) + u128::from(*byte)));
    let head =
        format!("HTTP/1.1 {status}\r\nETag: \"{etag}\"\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let sent = if method == "HEAD" { Vec::new() } else { body };
    // The client may have left.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&sent));
}

/// The embedded model's folder as a repository.
fn emoji() -> BTreeMap<String, Vec<u8>> {
    let root = repository("models/easel-emoji");
    let read = |path: &str| (path.to_owned(), std::fs::read(root.join(path)).unwrap());
    easel_host::embedded::FILES.iter().map(|(path, _)| read(path)).chain([("extra.bin".into(), vec![0; 99])]).collect()
}

#[test]
fn a_model_is_pulled_and_then_used_without_the_hub() {
    let folder = Folder::new();
    let missing = folder.easel(["generate", "a", "--model", "owner/model", "-o", "x.png"]).error(1).to_owned();
    assert_eq!(missing, "owner/model is not downloaded yet: run `easel pull owner/model` first");
    let address = hub(emoji());
    let pull = |args: &[&str]| {
        let mut command = folder.command(["pull", "owner/model"].iter().chain(args));
        super::Outcome::new(command.env("HF_ENDPOINT", &address).output().unwrap())
    };
    let first = pull(&[]);
    let path = std::path::PathBuf::from(first.text().trim_end());
    assert!(
        path.starts_with(folder.path("hf/hub/models--owner--model/snapshots")) && path.ends_with(COMMIT),
        "{path:?}"
    );
    assert!(first.stderr.contains("unet/diffusion_pytorch_model.safetensors  9.0 MB"), "{}", first.stderr);
    assert!(path.join("tokenizer/merges.txt").is_file() && !path.join("extra.bin").exists());
    // Nothing is downloaded again.
    let events = pull(&["--json"]).json();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["event"], &events[0]["repository"]), (&"model".into(), &"owner/model".into()));

    let draw = |model: &str, file: &str| {
        folder
            .easel([
                "generate",
                "a star",
                "--model",
                model,
                "--steps",
                "2",
                "--guidance-scale",
                "4",
                "--seed",
                "1",
                "-q",
                "-o",
                file,
            ])
            .text();
        easel_picture::Image::decode(&folder.read(file), &Default::default()).unwrap()
    };
    assert_eq!(draw("owner/model", "cached.png"), draw("easel-emoji", "embedded.png"));
}

#[test]
fn a_repository_missing_from_the_hub_is_named() {
    let folder = Folder::new();
    let address = hub(BTreeMap::new());
    let pull = |name: &str, args: &[&str]| {
        let mut command = folder.command(["pull", name].iter().chain(args));
        super::Outcome::new(command.env("HF_ENDPOINT", &address).output().unwrap())
    };
    let message = pull("owner/other", &[]).error(1).to_owned();
    assert!(message.contains("owner/other") && message.contains("404"), "{message}");
    let failed = pull("owner/other", &["--json"]);
    assert_eq!(failed.code, Some(1));
    let event: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((&event["event"], event["message"].as_str()), (&"error".into(), Some(message.as_str())));
    let message = pull("owner/model", &[]).error(1).to_owned();
    assert!(message.contains("owner/model"), "{message}");
}

#[test]
fn only_supported_repositories_are_pulled() {
    let folder = Folder::new();
    assert!(folder.easel(["pull", "no-such-model"]).error(1).starts_with("no such file, folder, "));
    assert_eq!(folder.easel(["pull", "stub"]).error(1), "stub is built in: there is nothing to download");
    assert!(folder.easel(["pull", "."]).error(1).contains("exists on this machine as a file or folder"));
}
