//! `FILE.preview.png`: what the picture looks like so far, for as long as the run lasts.

use crate::output;
use crate::picture;
use anyhow::Result;
use easel_picture::Image;
use std::path::PathBuf;

/// The preview file, removed with this value.
pub(super) struct Preview {
    path: PathBuf,
    written: bool,
}

impl Preview {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, written: false }
    }

    /// Replaces the file; the PNG that it holds now.
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
            // A preview that another program removed needs no removing.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
