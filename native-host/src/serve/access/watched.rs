//! Files that are read again when they change. They are polled, which works on every file system and for files that are
//! replaced.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How often files are polled.
const POLL: Duration = Duration::from_secs(1);

/// Calls `changed` at once, and whenever one of the files has changed, for as long as the process lives.
pub(in crate::serve) async fn follow(paths: Vec<PathBuf>, changed: impl FnMut() + Send + 'static) {
    let mut follower = (Watched::new(paths), changed);
    let mut timer = tokio::time::interval(POLL);
    loop {
        timer.tick().await;
        // The file may be on a slow disk.
        let polled = tokio::task::spawn_blocking(move || {
            if follower.0.has_changed() {
                follower.1();
            }
            follower
        });
        match polled.await {
            Ok(back) => follower = back,
            Err(error) => return tracing::error!(%error, "changes of files are no longer noticed"),
        }
    }
}

/// Some files and their states at the last poll.
struct Watched {
    paths: Vec<PathBuf>,
    seen: Option<Vec<Option<Stamp>>>,
}

/// What distinguishes one state of a file from another.
#[derive(PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Device, inode and time of the last status change, where the system has them.
    identity: (u64, u64, i64, i64),
}

impl Watched {
    /// Files that have not been polled yet.
    fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, seen: None }
    }

    /// Whether a file has changed, appeared or gone since the last call; the first call says yes.
    fn has_changed(&mut self) -> bool {
        let now = Some(self.paths.iter().map(|path| std::fs::metadata(path).ok().map(Stamp::of)).collect());
        let changed = self.seen != now;
        self.seen = now;
        changed
    }
}

impl Stamp {
    fn of(file: std::fs::Metadata) -> Self {
        Self { modified: file.modified().ok(), length: file.len(), identity: identity(&file) }
    }
}

#[cfg(unix)]
fn identity(file: &std::fs::Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino(), file.ctime(), file.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_file: &std::fs::Metadata) -> (u64, u64, i64, i64) {
    (0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_a_replacement_and_a_loss_are_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut watched = Watched::new(vec![path.clone()]);
        assert!(watched.has_changed() && !watched.has_changed());
        std::fs::write(&path, "a").unwrap();
        assert!(watched.has_changed() && !watched.has_changed());
        std::fs::write(&path, "ab").unwrap();
        assert!(watched.has_changed() && !watched.has_changed());
        let other = folder.path().join("other");
        std::fs::write(&other, "cd").unwrap();
        std::fs::rename(other, &path).unwrap();
        assert!(watched.has_changed() && !watched.has_changed());
        std::fs::remove_file(&path).unwrap();
        assert!(watched.has_changed() && !watched.has_changed());
    }
}
