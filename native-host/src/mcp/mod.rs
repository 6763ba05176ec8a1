//! Tools for agents, by the Model Context Protocol (<https://modelcontextprotocol.io>): `easel mcp` speaks it over standard
//! input and output, and `easel serve` at `/mcp` (streamable HTTP).
//!
//! The tools are the contract's (`easel_contract::tools`). A call is a task in the common queue: it is listed, reports its steps
//! as progress, and is cancelled when the client cancels the call or disconnects. The answer has a small preview of each picture
//! and a link to the full one, which is a resource and, over HTTP, an address of the server.
//!
//! Clients of revisions before 2026-07-28 have sessions, which end at their request or after five idle minutes. Later revisions
//! have no sessions, and closing the request cancels the call.

mod answer;
mod http;
mod seen;
mod studio;

pub use http::routes;
pub use studio::Studio;

use rmcp::ServiceExt;
use std::io;

/// Speaks the protocol over standard input and output until the client closes them.
///
/// # Errors
/// If the client does not speak the protocol.
pub async fn serve_stdio(studio: Studio) -> io::Result<()> {
    serve(studio, rmcp::transport::stdio()).await
}

/// The same over any two streams.
///
/// # Errors
/// As of [`serve_stdio`].
pub async fn serve<R, W>(studio: Studio, streams: (R, W)) -> io::Result<()>
where
    R: tokio::io::AsyncRead + Send + Unpin + 'static,
    W: tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let running = studio.serve(streams).await.map_err(io::Error::other)?;
    running.waiting().await.map_err(io::Error::other)?;
    Ok(())
}
