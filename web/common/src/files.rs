//! A model's files from the worker: pairs of a path and a `Blob`.

use crate::error::reason;
use bytes::Bytes;
use easel_inference::weights::{BoxFuture, MemoryFiles, Source};
use easel_inference::{Error, Result};
use js_sys::{Array, Uint8Array};
use std::ops::Range;
use std::sync::Arc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

#[wasm_bindgen]
extern "C" {
    type Buffer;

    /// `ArrayBuffer.transfer`: with a length of zero it frees the memory at once.
    #[wasm_bindgen(method, catch)]
    fn transfer(this: &Buffer, length: u32) -> Result<JsValue, JsValue>;
}

/// A `Blob` that is read by range: a local file, a file of the origin private file system, or a download.
pub(crate) struct BlobSource {
    name: String,
    blob: Blob,
}

impl BlobSource {
    pub(crate) fn new(name: String, blob: Blob) -> Self {
        Self { name, blob }
    }

    async fn slice(&self, range: Range<u64>) -> Result<Bytes> {
        let failed = |thrown: JsValue| Error::Io { path: self.name.clone(), reason: reason(&thrown) };
        // Offsets are below 2^53, which doubles hold exactly.
        let part = self.blob.slice_with_f64_and_f64(range.start as f64, range.end as f64).map_err(failed)?;
        let buffer = JsFuture::from(part.array_buffer()).await.map_err(failed)?;
        let bytes = Uint8Array::new(&buffer).to_vec();
        // Pieces of a large model arrive faster than they are garbage-collected. Browsers without `transfer` have to
        // wait for the collector.
        let _ = buffer.unchecked_ref::<Buffer>().transfer(0);
        Ok(bytes.into())
    }
}

impl Source for BlobSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.blob.size() as u64
    }

    fn read(&self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(self.slice(range))
    }
}

/// The files of `pairs`, `[[path, Blob], ...]`; errors call the set `name`.
pub fn files(name: &str, pairs: &Array) -> Result<MemoryFiles> {
    let mut files = MemoryFiles::new(name);
    for pair in pairs.iter() {
        let pair = Array::from(&pair);
        let path = pair.get(0).as_string();
        let blob = pair.get(1).dyn_into::<Blob>();
        let (Some(path), Ok(blob)) = (path, blob) else {
            return Err(Error::invalid("files", "expected pairs of a path and a Blob"));
        };
        let source = BlobSource::new(format!("{name}/{path}"), blob);
        files.insert(path, Arc::new(source) as Arc<dyn Source>);
    }
    Ok(files)
}
