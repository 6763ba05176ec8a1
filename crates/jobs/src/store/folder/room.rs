//! Disk space: a check that there is some, and a reserve for when there is none, because deleting needs space in SQLite's
//! log.

use super::names::{BALLAST, PROBE};
use crate::store::dir::Dir;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Large enough that a disk with this much space can store the end of a task.
const PROBE_BYTES: usize = 64 << 10;

/// Enough for the log of some deletions. The bytes are not zero, because some file systems do not store zeros.
const BALLAST_BYTES: usize = 256 << 10;

/// The disk space reserved in a folder.
#[derive(Default)]
pub(super) struct Ballast {
    is_there: AtomicBool,
}

impl Ballast {
    /// Reserves the space again, if the disk has it.
    pub(super) fn keep(&self, dir: &Dir) -> io::Result<()> {
        if self.is_there.load(Ordering::Relaxed) {
            return Ok(());
        }
        let is_whole = dir.length(BALLAST)? == Some(BALLAST_BYTES as u64);
        let kept = if is_whole { Ok(()) } else { dir.write(BALLAST, &vec![0xA5; BALLAST_BYTES]) };
        if kept.is_err() {
            dir.remove_if_there(BALLAST)?;
        }
        self.is_there.store(kept.is_ok(), Ordering::Relaxed);
        kept
    }

    /// Frees the space.
    pub(super) fn release(&self, dir: &Dir) -> io::Result<()> {
        self.is_there.store(false, Ordering::Relaxed);
        dir.remove_if_there(BALLAST)?;
        Ok(())
    }
}

/// Fails if no file can be written to the folder.
pub(super) fn probe(dir: &Dir) -> io::Result<()> {
    let written = dir.create(PROBE).and_then(|mut file| io::Write::write_all(&mut file, &[0xA5; PROBE_BYTES]));
    let removed = dir.remove_if_there(PROBE);
    written?;
    removed.map(|_| ())
}
