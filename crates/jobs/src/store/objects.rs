//! Pictures as objects in a store that several hosts share: S3, Google Cloud Storage, Azure, or a folder that all of them
//! have mounted. An object is written once and never changed.
//!
//! The store is a URL with a prefix. Keys, regions and endpoints come from the environment, under the names that the
//! providers' own tools use: <https://docs.rs/object_store>.

use crate::{Error, Picture, Result};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use std::ops::Range;
use std::path::PathBuf;
use url::Url;

/// The schemes of URLs.
const SCHEMES: [&str; 6] = ["s3", "gs", "az", "abfs", "abfss", "file"];

/// What a URL must look like.
const EXPECTED: &str = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER";

/// A prefix that has no objects, to ask whether the store answers.
const NOTHING: &str = "nothing";

/// The objects below a prefix.
pub(super) struct Objects {
    store: Box<dyn ObjectStore>,
    prefix: Path,
    /// The folder, if the objects are files.
    folder: Option<PathBuf>,
}

impl Objects {
    /// The store at a URL. Nothing is asked of it yet. [`Error::Url`], [`Error::Objects`].
    pub(super) fn open(url: &str) -> Result<Self> {
        let invalid = || Error::Url { field: "pictures", expected: EXPECTED };
        let url: Url = url.parse().map_err(|_| invalid())?;
        if !SCHEMES.contains(&url.scheme()) {
            return Err(invalid());
        }
        // The crate for HTTP has no cryptography of its own. If the program has chosen one, that stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if url.scheme() == "file" {
            let folder = url.to_file_path().map_err(|()| invalid())?;
            check_folder(&folder)?;
            let store = LocalFileSystem::new_with_prefix(&folder).map_err(failed)?.with_fsync(true);
            return Ok(Self { store: Box::new(store), prefix: Path::default(), folder: Some(folder) });
        }
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let (store, prefix) = object_store::parse_url_opts(&url, environment).map_err(failed)?;
        Ok(Self { store, prefix, folder: None })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Writes an object.
    pub(super) async fn write(&self, name: &str, bytes: Bytes) -> Result<()> {
        if let Some(folder) = &self.folder {
            check_folder(folder)?;
        }
        self.store.put(&self.path(name), bytes.into()).await.map(|_| ()).map_err(failed)
    }

    /// Removes objects; those that are not there count as removed.
    pub(super) async fn remove(&self, names: &[String]) -> Result<()> {
        let paths: Vec<_> = names.iter().map(|name| Ok(self.path(name))).collect();
        let mut removed = self.store.delete_stream(stream::iter(paths).boxed());
        while let Some(one) = removed.next().await {
            match one {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Reads a part of a picture's object. [`Error::UnknownPicture`] if it was deleted, [`Error::DamagedPicture`] if its
    /// length is wrong.
    pub(super) async fn read(&self, picture: &Picture, name: &str, range: Range<u64>) -> Result<Bytes> {
        let path = self.path(name);
        let id = picture.id;
        let unreadable = |error| match error {
            object_store::Error::NotFound { .. } => Error::UnknownPicture { id },
            error => failed(error),
        };
        let damaged = |found| {
            tracing::error!(object = %path, found, expected = picture.length, "a picture is damaged");
            Error::DamagedPicture { id, found, expected: picture.length }
        };
        if range.is_empty() {
            let found = self.store.head(&path).await.map_err(unreadable)?.size;
            return if found == picture.length { Ok(Bytes::new()) } else { Err(damaged(found)) };
        }
        let answer = self.store.get_opts(&path, GetOptions::new().with_range(Some(range))).await;
        let answer = match answer {
            Ok(answer) if answer.meta.size != picture.length => return Err(damaged(answer.meta.size)),
            Ok(answer) => answer,
            Err(error @ object_store::Error::NotFound { .. }) => return Err(unreadable(error)),
            // A range that is not there is an error of each store's own.
            Err(error) => {
                let found = self.store.head(&path).await.map_err(unreadable)?.size;
                return Err(if found == picture.length { failed(error) } else { damaged(found) });
            }
        };
        answer.bytes().await.map_err(failed)
    }

    /// Fails if the store does not answer.
    pub(super) async fn check(&self) -> Result<()> {
        if let Some(folder) = &self.folder {
            return check_folder(folder);
        }
        let nothing = self.path(NOTHING);
        let first = self.store.list(Some(&nothing)).next().await;
        first.transpose().map(|_| ()).map_err(failed)
    }
}

/// A folder that is not there is not made: it is shared, and may not be mounted yet.
fn check_folder(folder: &std::path::Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let reason = format!("{}: no such folder", folder.display());
    Err(Error::Objects { reason, is_temporary: true })
}

fn failed(error: object_store::Error) -> Error {
    use object_store::Error::{InvalidPath, NotImplemented, NotSupported, PermissionDenied, Unauthenticated};
    let is_lasting = matches!(
        error,
        InvalidPath { .. }
            | NotImplemented { .. }
            | NotSupported { .. }
            | PermissionDenied { .. }
            | Unauthenticated { .. }
    );
    Error::Objects { reason: error.to_string().replace('\n', " "), is_temporary: !is_lasting }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn picture(length: u64) -> Picture {
        Picture {
            id: 7,
            task: uuid::Uuid::nil(),
            number: 0,
            prompt: String::new(),
            seed: 0,
            media_type: "image/png".into(),
            length,
            digest: String::new(),
            created_at: SystemTime::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn objects_are_written_read_in_part_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(Url::from_directory_path(folder.path()).unwrap().as_ref()).unwrap();
        objects.check().await.unwrap();
        objects.write("a/1-0", "picture".into()).await.unwrap();
        assert_eq!(objects.read(&picture(7), "a/1-0", 0..7).await.unwrap(), "picture");
        assert_eq!(objects.read(&picture(7), "a/1-0", 2..5).await.unwrap(), "ctu");
        assert_eq!(objects.read(&picture(7), "a/1-0", 7..7).await.unwrap(), "");
        let damaged = objects.read(&picture(9), "a/1-0", 8..9).await.unwrap_err();
        assert!(matches!(damaged, Error::DamagedPicture { id: 7, found: 7, expected: 9 }), "{damaged}");
        objects.remove(&["a/1-0".into(), "a/1-1".into()]).await.unwrap();
        let gone = objects.read(&picture(7), "a/1-0", 0..7).await.unwrap_err();
        assert!(matches!(gone, Error::UnknownPicture { id: 7 }), "{gone}");
    }

    #[tokio::test]
    async fn a_folder_that_is_not_mounted_is_an_error_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path()).unwrap().to_string();
        let objects = Objects::open(&url).unwrap();
        let path = folder.path().to_owned();
        folder.close().unwrap();
        assert!(objects.check().await.unwrap_err().is_temporary());
        assert!(objects.write("a/1-0", "picture".into()).await.is_err());
        assert!(!path.exists());
        let refused = Objects::open(&url).err().unwrap().to_string();
        assert!(refused.starts_with("pictures: ") && refused.ends_with(": no such folder"), "{refused}");
    }

    #[test]
    fn other_urls_are_refused_without_repeating_them() {
        for url in ["", "pictures", "s3", "http://me:secret@pictures.example.org", "ftp://pictures"] {
            let refused = Objects::open(url).err().unwrap().to_string();
            assert!(refused.starts_with("pictures: expected s3://BUCKET/PREFIX, "), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
