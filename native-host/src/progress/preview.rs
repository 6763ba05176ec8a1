//! `FILE.preview.png`: the latest preview, which exists during the run.

use crate::output;
use crate::picture;
use anyhow::Result;
use easel_picture::Image;
use std::path::PathBuf;

/// The preview file, removed when this value is dropped.
pub(super) struct Preview {
    path: PathBuf,
    written: bool,
}

impl Preview {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: false }
    }

    /// Replaces the file and returns its PNG.
    pub(super) fn show(&mut self, image: &Image) -> Result<Vec<u8>> {
        let png = picture::encode_preview(image)?;
        output::replace(&self.path, &png)?;
        self.written = true;
        Ok(png)
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        if self.written {
            // Another program may have removed it already.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
