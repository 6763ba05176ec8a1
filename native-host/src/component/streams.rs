//! Streams of the service as streams of the component model. Dropping one, as a guest does when its client disconnects,
//! drops the other.

use super::clients::Left;
use super::studio::bindings::easel::image::studio as wit;
use bytes::Bytes;
use easel_contract::service::{ByteStream, ProgressStream};
use easel_contract::wit::Convert;
use futures_util::{FutureExt, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime::component::{Destination, StreamProducer, StreamResult};
use wasmtime::{Result, StoreContextMut};

/// The reports of a task, one by one, until the client for whom they are read has left.
pub(super) struct Reports {
    pub(super) reports: ProgressStream,
    /// `None` if it is not known, or if its answer has begun: then it ends with the answer.
    pub(super) client: Option<Left>,
}

impl<D: 'static> StreamProducer<D> for Reports {
    type Item = wit::Progress;
    type Buffer = Option<wit::Progress>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        if let Some(Poll::Ready(has_left)) = self.client.as_mut().map(|client| client.poll_unpin(cx)) {
            if has_left {
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
            self.client = None;
        }
        let polled = self.reports.poll_next_unpin(cx);
        produced(polled, finish, |report| destination.set_buffer(Some(report.convert())))
    }
}

/// The bytes of a picture, in the service's pieces.
pub(super) struct Pieces(pub(super) ByteStream);

impl<D: 'static> StreamProducer<D> for Pieces {
    type Item = u8;
    type Buffer = Bytes;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let polled = self.0.poll_next_unpin(cx).map(|piece| match piece? {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                // The guest notices: it gets fewer bytes than announced.
                tracing::error!(%error, "a picture could not be read to the end");
                None
            }
        });
        produced(polled, finish, |bytes| destination.set_buffer(bytes))
    }
}

/// The state of a stream in the types of the component model.
fn produced<T>(polled: Poll<Option<T>>, finish: bool, deliver: impl FnOnce(T)) -> Poll<Result<StreamResult>> {
    match polled {
        Poll::Ready(Some(item)) => {
            deliver(item);
            Poll::Ready(Ok(StreamResult::Completed))
        }
        Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
        Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
        Poll::Pending => Poll::Pending,
    }
}
