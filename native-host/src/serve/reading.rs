//! Pictures in pieces, read on demand: a slow client holds one piece in memory and no open file.

use super::QueueService;
use bytes::Bytes;
use easel_contract::Error;
use easel_contract::service::Result;
use easel_jobs::Picture;
use futures_util::stream::{self, Stream};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Bytes of a piece: a multiple of 3, so that each piece can be encoded in base64 by itself.
const PIECE: u64 = 48 << 10;

/// How many pieces are read at once; each needs an open file and a thread.
static READERS: Semaphore = Semaphore::const_new(32);

/// The bytes `range` of a picture. The first piece is read at once, so that a damaged or missing picture is noticed
/// before anything is sent.
pub(super) async fn pieces(
    service: &QueueService,
    picture: Picture,
    range: Range<u64>,
) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
    let picture = Arc::new(picture);
    let middle = range.end.min(range.start.saturating_add(PIECE));
    let first = read(service, &picture, range.start..middle).await?;
    let rest = Rest { service: service.clone(), picture, range: middle..range.end };
    let later = stream::try_unfold(rest, async |mut rest| {
        if rest.range.is_empty() {
            return Ok(None);
        }
        let end = rest.range.end.min(rest.range.start + PIECE);
        let piece = read(&rest.service, &rest.picture, rest.range.start..end).await?;
        rest.range.start = end;
        Ok(Some((piece, rest)))
    });
    Ok(futures_util::StreamExt::chain(stream::iter([Ok(first)]), later))
}

/// What has not been read yet.
struct Rest {
    service: QueueService,
    picture: Arc<Picture>,
    range: Range<u64>,
}

async fn read(service: &QueueService, picture: &Arc<Picture>, range: Range<u64>) -> Result<Bytes> {
    let _turn = READERS.acquire().await.map_err(Error::internal)?;
    service.read_part(Arc::clone(picture), range).await
}
