//! An application that hosts the edge component as a plugin and asks it for a picture.
//!
//! `cargo xtask edge && cargo run --package easel-host --features component --example plugin -- apple.png`

use anyhow::{Context, Result, ensure};
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use easel_host::component::{Limits, Program};
use easel_host::serve::{Config, QueueService};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const COMPONENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../edge/target/wasm32-wasip2/release/easel_edge.wasm");

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("usage: plugin FILE.png")?;
    draw(COMPONENT.as_ref(), file.as_ref()).await?;
    println!("{file}");
    Ok(())
}

pub(crate) async fn draw(component: &Path, file: &Path) -> Result<()> {
    let component = std::fs::read(component).context("no component: build it with `cargo xtask edge`")?;

    // What draws: the engine with its queue, in a folder of its own. Any `easel_contract::Service` would do.
    let folder = tempfile::tempdir()?;
    let service = QueueService::open(&Config { data: folder.path().to_owned(), ..Config::default() })?;
    let plugin = Program::compile(&component, Limits::default())?.host(Arc::new(service.clone()), Vec::new());

    let order = r#"{"prompt":"a red apple","W":128,"H":128,"ddim_steps":8,"seed":7}"#;
    let request = Request::post("/imagine").header(header::CONTENT_TYPE, "application/json");
    let answer = plugin.answer(request.header(header::ACCEPT, "image/png").body(Body::from(order))?).await;
    let status = answer.status();
    let picture = to_bytes(answer.into_body(), usize::MAX).await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&picture));
    std::fs::write(file, picture)?;

    tokio::task::spawn_blocking(move || service.shutdown(Duration::ZERO)).await?;
    Ok(())
}
