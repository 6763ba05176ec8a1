//! `cargo run --package easel-transcripts --example host -- 127.0.0.1:8100`: the whole interface without a model, for
//! developing clients and for fuzzers. Every picture is the `stub` picture.

use easel_contract::router;
use easel_transcripts::{MemoryService, Setup};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8100".to_owned());
    let setup = Setup::default();
    let service = MemoryService::start(&setup);
    let routes = router(service, MemoryService::settings(&setup));
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, routes).await?)
}
