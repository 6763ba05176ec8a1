//! Initial pictures: decoded on few threads, within a limit on the total of pixels being decoded.

use super::super::conversions::redraw;
use super::Plan;
use bytes::Bytes;
use easel_contract::Error;
use easel_contract::service::{Mask, Redraw, Result};
use easel_picture::{EncodeOptions, Image, ImageFormat, Limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many pictures are decoded at the same time.
const THREADS: usize = 2;

/// The unit in which pixels are counted.
const UNIT: usize = 4096;

/// How long a picture waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a refused client should wait before it tries again, in seconds.
const RETRY_AFTER: u32 = 5;

/// Decodes initial pictures.
#[derive(Debug)]
pub(in crate::serve) struct Pictures {
    threads: Arc<Semaphore>,
    /// In units of [`UNIT`] pixels.
    pixels: Arc<Semaphore>,
    /// The most pixels of one picture.
    most: usize,
    patience: Duration,
}

/// The resources that a picture holds while it is decoded.
struct Turn {
    _thread: OwnedSemaphorePermit,
    _pixels: OwnedSemaphorePermit,
}

impl Pictures {
    /// Decodes at most this many pixels at a time, of one picture or of several.
    pub(in crate::serve) fn new(most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self {
            threads: Arc::new(Semaphore::new(THREADS)),
            pixels: Arc::new(Semaphore::new(most.div_ceil(UNIT))),
            most,
            patience: PATIENCE,
        }
    }

    /// The picture file in the size of the result: large ones are resized, broken ones refused.
    ///
    /// # Errors
    /// [`Error::InvalidField`] if it is not a picture or too large, [`Error::QueueFull`] if it waited too long.
    pub(in crate::serve) async fn fit(&self, bytes: Bytes, plan: Plan) -> Result<Bytes> {
        self.decoded("init_image", bytes, move |bytes, limits| fit(bytes, plan, limits)).await
    }

    /// The mask in the size that is drawn, white where it is drawn anew.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit), about `mask`.
    pub(in crate::serve) async fn fit_mask(&self, mask: Mask, plan: Plan) -> Result<Mask> {
        let kind = redraw(mask.redraw);
        let fitted = self.decoded("mask", mask.bytes, move |bytes, limits| fit_mask(&bytes, kind, plan, limits));
        Ok(Mask { bytes: fitted.await?, redraw: Redraw::White, paste: mask.paste })
    }

    /// What `work` makes of a picture file, in its turn.
    async fn decoded(
        &self,
        field: &'static str,
        bytes: Bytes,
        work: impl FnOnce(Bytes, &Limits) -> easel_picture::Result<Bytes> + Send + 'static,
    ) -> Result<Bytes> {
        let refused = |error: easel_picture::Error| refused(field, &error);
        // The header says how much memory decoding will need.
        let (width, height) = Image::dimensions(&bytes).map_err(refused)?;
        let pixels = width.saturating_mul(height);
        if pixels > self.most {
            let reason = format!("{width}x{height} pixels, expected at most {} in all", self.most);
            return Err(Error::invalid(field, reason));
        }
        let turn = timeout(self.patience, self.turn(pixels)).await;
        let turn = turn.map_err(|_| Error::QueueFull { retry_after: RETRY_AFTER })??;
        let limits = Limits { pixels: self.most, ..Limits::default() };
        let fitted = tokio::task::spawn_blocking(move || {
            let fitted = work(bytes, &limits);
            drop(turn);
            fitted
        });
        fitted.await.map_err(Error::internal)?.map_err(refused)
    }

    async fn turn(&self, pixels: usize) -> Result<Turn> {
        let units = u32::try_from(pixels.div_ceil(UNIT)).map_err(Error::internal)?;
        let pixels = Arc::clone(&self.pixels).acquire_many_owned(units).await.map_err(Error::internal)?;
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(Error::internal)?;
        Ok(Turn { _thread: thread, _pixels: pixels })
    }
}

fn fit(bytes: Bytes, plan: Plan, limits: &Limits) -> easel_picture::Result<Bytes> {
    let image = Image::decode(&bytes, limits)?;
    let Some([height, width]) = plan.size else { return Ok(bytes) };
    if image.width == width && image.height == height {
        return Ok(bytes);
    }
    // Resized exactly as by the pipeline, which then has nothing to do.
    let resized = image.resized(width, height)?;
    drop(image);
    Ok(resized.encode(ImageFormat::Png, &EncodeOptions::default())?.into())
}

fn fit_mask(bytes: &[u8], redraw: easel_picture::Redraw, plan: Plan, limits: &Limits) -> easel_picture::Result<Bytes> {
    let image = Image::decode_mask(bytes, redraw, limits)?;
    let [height, width] = plan.size.unwrap_or([image.height, image.width]);
    Ok(image.resized(width, height)?.encode(ImageFormat::Png, &EncodeOptions::default())?.into())
}

fn refused(field: &str, error: &easel_picture::Error) -> Error {
    let text = error.to_string();
    let reason = text.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text);
    Error::invalid(field, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: usize, height: usize) -> Bytes {
        let image = Image::stub(width, height).unwrap();
        image.encode(ImageFormat::Png, &EncodeOptions::default()).unwrap().into()
    }

    const PLAN: Plan = Plan { size: Some([64, 128]) };

    #[tokio::test]
    async fn f6_a_picture_is_decoded_once_and_queued_in_the_size_of_the_result() {
        let pictures = Pictures::new(1 << 20);
        let fitted = pictures.fit(png(1000, 900), PLAN).await.unwrap();
        let decoded = Image::decode(&fitted, &Limits::default()).unwrap();
        assert_eq!(decoded, Image::stub(1000, 900).unwrap().resized(128, 64).unwrap());
        let right = png(128, 64);
        assert_eq!(pictures.fit(right.clone(), PLAN).await.unwrap(), right, "what fits stays as it is");
        let broken = right.slice(..right.len() - 20);
        assert!(pictures.fit(broken, PLAN).await.unwrap_err().to_string().starts_with("init_image: "));
    }

    #[tokio::test]
    async fn a_mask_is_queued_in_the_size_that_is_drawn_and_white_where_it_is_drawn_anew() {
        let pictures = Pictures::new(1 << 20);
        let mask = |redraw| pictures.fit_mask(Mask { bytes: png(32, 32), redraw, paste: None }, PLAN);
        let fitted = mask(Redraw::Black).await.unwrap();
        let decoded = Image::decode(&fitted.bytes, &Limits::default()).unwrap();
        assert_eq!((fitted.redraw, decoded.width, decoded.height), (Redraw::White, 128, 64));
        assert_eq!(decoded.rgb8[..3], [255, 155, 55], "the stub's blue turned round");
        let refused = mask(Redraw::Transparent).await.unwrap_err().to_string();
        assert_eq!(refused, "mask: has no transparency, expected an alpha channel");
    }

    #[tokio::test]
    async fn f6_large_pictures_wait_for_each_other_but_not_for_ever() {
        let pictures = Pictures { patience: Duration::from_millis(10), ..Pictures::new(1 << 20) };
        let too_large = pictures.fit(png(2000, 1000), PLAN).await.unwrap_err().to_string();
        assert_eq!(too_large, "init_image: 2000x1000 pixels, expected at most 1048576 in all");
        let held = pictures.turn(600_000).await.unwrap();
        let refused = pictures.fit(png(1000, 1000), PLAN).await;
        assert_eq!(refused, Err(Error::QueueFull { retry_after: RETRY_AFTER }));
        assert!(pictures.fit(png(100, 100), PLAN).await.is_ok(), "there is room for a small one beside it");
        drop(held);
        assert!(pictures.fit(png(1000, 1000), PLAN).await.is_ok());
    }
}
