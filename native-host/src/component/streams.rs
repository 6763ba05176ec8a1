//! Streams of the service as streams of the component model. Dropping one, which a guest does when its client leaves,
//! drops the other.

use super::studio::bindings::easel::image::studio as wit;
use bytes::Bytes;
use easel_contract::service::{ByteStream, ProgressStream};
use easel_contract::wit::Convert;
use futures_util::StreamExt;
use std::pin::Pin;
use std::task::{Context, Poll};
use wasmtime::component::{Destination, StreamProducer, StreamResult};
use wasmtime::{Result, StoreContextMut};

/// The reports of a task, one by one.
pub(super) struct Reports(pub(super) ProgressStream);

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
        let polled = self.0.poll_next_unpin(cx);
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

/// A stream's state in the component model's terms.
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
