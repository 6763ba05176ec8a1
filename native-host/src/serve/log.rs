//! The log: lines on standard error, written by a separate thread. If the reader is gone or slow, or its disk is full,
//! lines are lost and counted; code that logs never panics or waits.

use prometheus_client::metrics::counter::Counter;
use std::fmt::{self, Debug, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

/// The most lines that wait to be written: a few megabytes if all are as long as possible.
const WAITING: usize = 1024;

/// The most characters of one field.
const FIELD: usize = 200;

/// The longest line that is written uncut, in bytes.
const LINE: usize = 4096;

/// How long the process waits for the last lines before it exits.
const LAST_LINES: Duration = Duration::from_millis(500);

/// The number of lost lines.
pub(super) fn lost() -> Counter {
    static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);
    LOST.clone()
}

/// Starts the log, at level info unless `RUST_LOG` says otherwise. Dropping the guard waits a moment for the last
/// lines.
pub fn start(as_json: bool) -> io::Result<Guard> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (lines, guard) = Lines::start(io::stderr(), WAITING)?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    // A program that embeds this may have a log already.
    if as_json {
        let _ = tracing::subscriber::set_global_default(subscriber.json().finish());
    } else {
        let plain = subscriber.with_ansi(io::stderr().is_terminal()).fmt_fields(debug_fn(write_field).delimited(" "));
        let _ = tracing::subscriber::set_global_default(plain.finish());
    }
    Ok(guard)
}

/// Writes a field, cut if it is long.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let mut cut = Cut::default();
    write!(cut, "{value:?}")?;
    match field.name() {
        "message" => write!(writer, "{cut}"),
        name => write!(writer, "{name}={cut}"),
    }
}

/// The beginning of a text, and its length.
#[derive(Default)]
struct Cut {
    start: String,
    characters: usize,
    bytes: usize,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len();
        let room = FIELD - self.characters;
        let before = self.start.len();
        self.start.extend(text.chars().take(room));
        self.characters += self.start[before..].chars().count();
        Ok(())
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start)?;
        if self.bytes > self.start.len() {
            write!(f, "… ({} bytes)", self.bytes)?;
        }
        Ok(())
    }
}

/// The queue of lines, which may be full.
#[derive(Clone)]
struct Lines(SyncSender<Vec<u8>>);

/// Waits for the last lines when it is dropped, but not for long.
pub struct Guard {
    /// Closed by the writing thread.
    written: Receiver<()>,
    end: SyncSender<Vec<u8>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // An empty line marks the end. If there is no room for it, nobody reads the log.
        if self.end.try_send(Vec::new()).is_ok() {
            let _ = self.written.recv_timeout(LAST_LINES);
        }
    }
}

impl Lines {
    /// Starts the thread that writes.
    fn start(mut out: impl Write + Send + 'static, waiting: usize) -> io::Result<(Self, Guard)> {
        let (end, lines) = mpsc::sync_channel::<Vec<u8>>(waiting);
        let (closed, written) = mpsc::sync_channel(1);
        thread::Builder::new().name("easel-log".into()).spawn(move || {
            for line in lines.iter().take_while(|line| !line.is_empty()) {
                // The pipe's reader has gone or the disk is full: this line is lost, but perhaps not the next.
                if out.write_all(&line).is_err() {
                    lost().inc();
                }
            }
            let _ = out.flush();
            drop(closed);
        })?;
        Ok((Self(end.clone()), Guard { written, end }))
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { queue: &self.0, text: Vec::new() }
    }
}

/// A line, queued as a whole.
struct Line<'a> {
    queue: &'a SyncSender<Vec<u8>>,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return;
        }
        let text = if text.len() > LINE { shortened(&text) } else { text };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(text) {
            lost().inc();
        }
    }
}

/// A long line, shortened; in JSON only its texts are cut, so it stays JSON.
fn shortened(line: &[u8]) -> Vec<u8> {
    let mut text = match serde_json::from_slice(line) {
        Ok(mut value) => {
            cut_texts(&mut value);
            value.to_string().into_bytes()
        }
        Err(_) => {
            let start = String::from_utf8_lossy(&line[..LINE]);
            format!("{}… ({} bytes)", start.trim_end_matches(char::REPLACEMENT_CHARACTER), line.len()).into_bytes()
        }
    };
    text.push(b'\n');
    text
}

fn cut_texts(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.len() > FIELD => {
            let mut cut = Cut::default();
            // Writing to memory cannot fail.
            let _ = cut.write_str(text);
            *text = cut.to_string();
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(cut_texts),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(cut_texts),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    /// Collects what is written to it.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe whose reader has gone or does not read.
    struct Broken(Option<Receiver<()>>);

    impl Write for Broken {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            if let Some(stuck) = &self.0 {
                let _ = stuck.recv();
            }
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn log_to(out: impl Write + Send + 'static, as_json: bool, log: impl FnOnce()) {
        let (lines, guard) = Lines::start(out, 16).unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(lines);
        if as_json {
            tracing::subscriber::with_default(subscriber.json().finish(), log);
        } else {
            let plain = subscriber.with_ansi(false).fmt_fields(debug_fn(write_field).delimited(" "));
            tracing::subscriber::with_default(plain.finish(), log);
        }
        drop(guard);
    }

    #[test]
    fn f5_a_missing_reader_costs_lines_and_nothing_else() {
        let before = lost().get();
        log_to(Broken(None), false, || {
            for number in 0..10 {
                tracing::error!(number, "nobody reads this");
            }
        });
        assert!(lost().get() >= before + 10);
    }

    #[test]
    fn f5_a_reader_that_does_not_read_blocks_nobody() {
        let (release, stuck) = mpsc::channel();
        let began = Instant::now();
        let before = lost().get();
        let prompt = "a".repeat(40_000);
        log_to(Broken(Some(stuck)), false, || {
            for _ in 0..200 {
                tracing::warn!(prompt, "nobody reads this");
            }
        });
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert!(lost().get() >= before + 180, "lines without room are counted");
        drop(release);
    }

    #[test]
    fn f5_long_fields_are_cut_and_their_length_is_logged() {
        let prompt = "é".repeat(20_000);
        for as_json in [false, true] {
            let page = Page::default();
            log_to(page.clone(), as_json, || tracing::warn!(prompt, short = "as it is", number = 7, "a {}", prompt));
            let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
            assert!(text.len() < 1500 && text.ends_with('\n') && text.lines().count() == 1, "{text}");
            assert!(text.contains("as it is") && text.contains('7') && text.contains("ééé"), "{text}");
            assert!(text.contains("… (40002 bytes)") || text.contains("… (40000 bytes)"), "{text}");
            assert!(!as_json || serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
    }
}
