//! Plays transcripts.

use crate::pattern::{self, Names};
use crate::picture;
use crate::transcript::{Step, Transcript};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use easel_contract::service::Encoding;
use http::{HeaderName, Request, Response, header};
use std::pin::Pin;
use std::time::Duration;

/// How often a `~until` step is repeated, every 20 ms.
const TRIES: usize = 500;

/// A connection to a server.
pub trait Client {
    /// Sends a request, whose URI is only a path, and reads the whole answer.
    ///
    /// # Errors
    /// Only if there is no HTTP answer.
    fn send(&self, request: Request<Bytes>) -> impl Future<Output = Result<Response<Bytes>>>;
}

/// Sends every request of a transcript and compares the answers.
///
/// # Errors
/// If an answer differs, with the step's name, the expected answer and the actual one.
pub async fn play(transcript: &Transcript, client: &impl Client) -> Result<()> {
    let played = rest(&transcript.steps, Names::new(), client).await;
    played.with_context(|| format!("transcript {:?}", transcript.name))
}

/// Plays the remaining steps, with the names that earlier steps have set.
fn rest<'a>(
    steps: &'a [Step],
    mut names: Names,
    client: &'a impl Client,
) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
    Box::pin(async move {
        for (index, step) in steps.iter().enumerate() {
            let failed = || format!("step {:?}: {} {}", step.name, step.method, step.path);
            if step.meanwhile {
                let open = async {
                    let answer = client.send(request(step, &names)?).await.with_context(failed)?;
                    compare(step, &answer, &mut names.clone()).with_context(failed)
                };
                let following = rest(&steps[index + 1..], names.clone(), client);
                let (open, following) = futures_util::join!(open, following);
                return open.and(following);
            }
            let answer = ask(step, &names, client).await.with_context(failed)?;
            compare(step, &answer, &mut names).with_context(failed)?;
        }
        Ok(())
    })
}

/// Sends the request, repeatedly if the step says so.
async fn ask(step: &Step, names: &Names, client: &impl Client) -> Result<Response<Bytes>> {
    let mut answer = client.send(request(step, names)?).await?;
    let Some(until) = &step.until else { return Ok(answer) };
    for _ in 0..TRIES {
        if text(&answer).contains(until) {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = client.send(request(step, names)?).await?;
    }
    bail!("the answer never contained {until}; the last one was {}", text(&answer))
}

fn request(step: &Step, names: &Names) -> Result<Request<Bytes>> {
    let mut builder = Request::builder().method(step.method.as_str()).uri(pattern::filled(&step.path, names));
    let body = pattern::filled(&step.body, names);
    let named = step.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !body.is_empty() && !named && !step.without_content_type {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    for (name, value) in &step.headers {
        builder = builder.header(name, pattern::filled(value, names));
    }
    let is_form = step.headers.iter().any(|(_, value)| value.starts_with("multipart/"));
    Ok(builder.body(if is_form { form(&body)?.into() } else { body.into() })?)
}

/// The body of a form: line ends are those of the standard, and placeholders are replaced by pictures.
fn form(body: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for line in body.lines() {
        let picture = line.strip_prefix("<<").and_then(|rest| rest.strip_suffix(">>"));
        match picture.and_then(|picture| picture.split_once(' ')) {
            Some((kind, size)) => {
                let (width, height) = size.split_once('x').context("a picture needs WIDTHxHEIGHT")?;
                let [width, height] = [width.parse()?, height.parse()?];
                bytes.extend(match kind {
                    "png" => picture::stub(width, height, Encoding::default(), "")?,
                    "clear" => picture::clear(width, height)?,
                    _ => bail!("<<{kind} ...>> is unknown, expected png or clear"),
                });
            }
            None => bytes.extend_from_slice(line.as_bytes()),
        }
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(bytes)
}

fn compare(step: &Step, answer: &Response<Bytes>, names: &mut Names) -> Result<()> {
    let status = answer.status().as_u16();
    ensure!(status == step.status, "expected {}, got {status}: {}", step.status, text(answer));
    for (name, expected) in &step.expected_headers {
        let header = HeaderName::try_from(name.as_str())?;
        let value = answer.headers().get(&header).and_then(|value| value.to_str().ok());
        match (expected, value) {
            (None, None) => {}
            (Some(expected), Some(value)) if pattern::matches(expected, value, names) => {}
            _ => bail!("header {name}: expected {expected:?}, got {value:?}"),
        }
    }
    let Some(expected) = &step.expected_body else { return Ok(()) };
    let special = expected.strip_prefix("<<").and_then(|rest| rest.strip_suffix(">>"));
    match special {
        Some("empty") => ensure!(answer.body().is_empty(), "expected no body, got {}", text(answer)),
        Some(png) => {
            let size = picture::size(answer.body()).map(|(width, height)| format!("png {width}x{height}"));
            ensure!(size.as_deref() == Some(png), "expected a {png}, got {size:?}");
        }
        None => {
            let body = text(answer);
            let same = pattern::matches(expected, body.trim_end(), names);
            ensure!(same, "expected\n{}\ngot\n{body}", pattern::filled(expected, names));
        }
    }
    Ok(())
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}
