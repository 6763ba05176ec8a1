//! `FileSource`: a local file, read piece by piece.
//!
//! Pieces are copies rather than maps: if another program cuts a file while a map of it is in use, the process dies.
//! A piece is freed when its bytes are dropped, so loading a model needs little more memory than the model.

use super::send::BoxFuture;
use super::source::{Source, check_range};
use crate::{Error, Result};
use bytes::Bytes;
use std::fs::{File, Metadata};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A local file.
#[derive(Debug)]
pub struct FileSource {
    name: String,
    file: File,
    length: u64,
    /// When it was changed last, where the system says so.
    modified: Option<SystemTime>,
}

impl FileSource {
    /// Opens the file at `path`. Errors call it by that path.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let name = path.display().to_string();
        let open = || -> std::io::Result<(File, Metadata)> {
            let metadata = path.metadata()?;
            if metadata.is_dir() {
                return Err(std::io::ErrorKind::IsADirectory.into());
            }
            // Opening a pipe would wait for a writer.
            if !metadata.is_file() {
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "neither a file nor a folder"));
            }
            let file = File::open(&path)?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        };
        let (file, metadata) = open().map_err(|error| Error::io(&name, &error))?;
        Ok(Self { name, file, length: metadata.len(), modified: metadata.modified().ok() })
    }

    fn piece(&self, range: &Range<u64>) -> Result<Bytes> {
        let io = |error: std::io::Error| Error::io(&self.name, &error);
        let metadata = self.file.metadata().map_err(io)?;
        check_range(self, metadata.len().min(self.length), range)?;
        if metadata.modified().ok() != self.modified {
            return Err(Error::format(&self.name, "the file was changed after it was opened: load the model again"));
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let size = usize::try_from(range.end - range.start).map_err(|_| {
            Error::format(&self.name, format!("a piece of {} bytes does not fit in memory", range.end - range.start))
        })?;
        let mut piece = vec![0; size];
        match read_at(&self.file, &mut piece, range.start) {
            Ok(()) => Ok(piece.into()),
            // It was cut a moment ago.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                check_range(self, self.file.metadata().map_err(io)?.len().min(self.length), range)?;
                Err(io(error))
            }
            Err(error) => Err(io(error)),
        }
    }
}

/// Fills `piece` from this place of the file on. Several threads may read at once.
#[cfg(unix)]
fn read_at(file: &File, piece: &mut [u8], from: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, piece, from)
}

/// Fills `piece` from this place of the file on. Several threads may read at once.
#[cfg(windows)]
fn read_at(file: &File, mut piece: &mut [u8], mut from: u64) -> std::io::Result<()> {
    while !piece.is_empty() {
        let count = std::os::windows::fs::FileExt::seek_read(file, piece, from)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        piece = &mut piece[count..];
        from += count as u64;
    }
    Ok(())
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(std::future::ready(self.piece(&range)))
    }
}

/// Joins a path in a model's folder to that folder, with this system's separators. Refuses paths that lead out of it.
pub(super) fn inside(folder: &Path, path: &str) -> Result<PathBuf> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', ':', '\0']);
    if !path.split('/').all(plain) {
        let reason = "not a path inside the model's folder".to_owned();
        return Err(Error::Io { path: path.to_owned(), reason });
    }
    Ok(path.split('/').fold(folder.to_owned(), |folder, part| folder.join(part)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    #[test]
    fn pieces_are_the_bytes_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        let data: Vec<u8> = (0..20_000_u32).map(|i| (i * 7) as u8).collect();
        std::fs::write(&path, &data).unwrap();
        let source = FileSource::open(&path).unwrap();
        assert_eq!(source.len(), 20_000);
        for range in [0..1, 4095..4097, 5000..20_000, 0..20_000, 20_000..20_000] {
            let piece = block_on(source.read(range.clone())).unwrap();
            assert_eq!(&piece[..], &data[range.start as usize..range.end as usize]);
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(&path, vec![1; 10_000]).unwrap();
        let source = FileSource::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(5_000).unwrap();
        let text = block_on(source.read(4_000..6_000)).unwrap_err().to_string();
        assert!(text.ends_with("x.bin: expected bytes 4000 to 6000, but the file has 5000 bytes"), "{text}");
    }

    #[test]
    fn what_was_read_stays_when_the_file_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(&path, vec![1; 100_000]).unwrap();
        let source = FileSource::open(&path).unwrap();
        let piece = block_on(source.read(0..100_000)).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(piece.iter().all(|byte| *byte == 1));
    }

    #[test]
    fn a_file_that_was_changed_is_an_error_and_one_that_was_removed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(&path, vec![1; 100]).unwrap();
        let source = FileSource::open(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let opened = file.metadata().unwrap().modified().unwrap();
        std::fs::remove_file(&path).unwrap();
        if cfg!(unix) {
            assert_eq!(block_on(source.read(0..100)).unwrap().len(), 100, "it is there as long as it is open");
        }
        file.set_modified(opened + std::time::Duration::from_secs(5)).unwrap();
        let text = block_on(source.read(0..100)).unwrap_err().to_string();
        assert!(text.ends_with("x.bin: the file was changed after it was opened: load the model again"), "{text}");
    }

    #[test]
    fn files_that_cannot_be_opened_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("gone"), folder.path().to_owned()] {
            let error = FileSource::open(&path).unwrap_err();
            assert!(matches!(error, Error::Io { path: name, .. } if name == path.display().to_string()));
        }
    }

    #[test]
    fn paths_stay_inside_their_folder() {
        let folder = Path::new("models");
        assert_eq!(inside(folder, "part/config.json").unwrap(), folder.join("part").join("config.json"));
        for path in ["", "/etc/passwd", "../x", "unet/../../x", "a//b", "c:\\x", "a/./b"] {
            assert!(matches!(inside(folder, path), Err(Error::Io { .. })), "{path}");
        }
    }
}
