//! Uploads weights to the GPU in pieces, with little host memory.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Buffer, Context, Result};

/// Bytes passed to the driver between two waits, because it keeps a copy of them until the GPU has received them.
const STAGED: u64 = 64 << 20;

/// Bytes passed in one call.
const PIECE: usize = 16 << 20;

/// Bytes passed since the last wait.
#[derive(Default)]
pub(crate) struct Staged(AtomicU64);

impl Context {
    /// Writes `content` to `buffer` from `offset`, and waits from time to time, so that the driver never holds more
    /// than 64 MiB. The data is padded with zeros to a multiple of four bytes.
    ///
    /// # Errors
    /// As [`Context::write`].
    pub async fn stream(&self, buffer: &Buffer, offset: u64, content: &[u8]) -> Result<()> {
        let mut at = offset;
        for piece in content.chunks(PIECE) {
            self.write(buffer, at, piece)?;
            self.throttle(piece.len() as u64).await?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// As [`Context::stream`], from a JavaScript array, which is not copied into the memory of WebAssembly. Its length
    /// must be a multiple of four.
    ///
    /// # Errors
    /// As [`Context::write`].
    #[cfg(target_arch = "wasm32")]
    pub async fn stream_array(&self, buffer: &Buffer, offset: u64, content: &js_sys::Uint8Array) -> Result<()> {
        let bytes = u64::from(content.length());
        self.prepare_write(buffer, offset, bytes.next_multiple_of(4))?;
        crate::web::write(&self.0.queue, &buffer.raw().buffer, buffer.offset() + offset, content)?;
        self.throttle(bytes).await
    }

    /// Submits the recorded commands and waits until the GPU has run all of them.
    ///
    /// # Errors
    /// If the device is lost, or reported an error.
    pub async fn finish(&self) -> Result<()> {
        self.flush()?;
        // Writes wait for a submit too, even an empty one.
        self.0.queue.submit([]);
        #[cfg(not(target_arch = "wasm32"))]
        {
            // A failure here is a lost device, which the callback reports.
            let _ = self.0.device.poll(wgpu::PollType::wait_indefinitely());
        }
        #[cfg(target_arch = "wasm32")]
        {
            let (sender, receiver) = futures_channel::oneshot::channel();
            self.0.queue.on_submitted_work_done(move || {
                // The receiver may have been dropped.
                let _ = sender.send(());
            });
            self.0.faults.unless_lost(receiver).await;
        }
        self.0.faults.check()
    }

    /// Counts `bytes` that were just [written](Context::write), and waits for the GPU if they have become many, so that
    /// the driver never holds more than 64 MiB.
    ///
    /// # Errors
    /// As [`Context::finish`].
    pub async fn throttle(&self, bytes: u64) -> Result<()> {
        let staged = &self.0.staged.0;
        if staged.fetch_add(bytes, Ordering::Relaxed) + bytes >= STAGED {
            staged.store(0, Ordering::Relaxed);
            self.finish().await?;
        }
        Ok(())
    }
}
