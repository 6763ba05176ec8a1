//! Implements the contract's service with the imported interface.

use async_trait::async_trait;
use bytes::Bytes;
use easel_contract::service::{
    Analysis, AnalysisRequest, ByteStream, Device, DeviceKind, Health, Image, ImageFilter, ImagePage, ImageRequest,
    Model, Priority, ProgressStream, Result, Run, Sampler, Service, Session, Task, TaskFilter, TaskPage, TaskSelection,
    WatchOptions,
};
use easel_contract::wit::Convert;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, Stream};
use imports::easel::image::studio as wit;
use send_wrapper::SendWrapper;
use spin_sdk::wit_bindgen::{StreamReader, StreamResult};
use std::ops::Range;
use std::time::Duration;

mod imports {
    #![allow(missing_docs, reason = "generated")]
    spin_sdk::wit_bindgen::generate!({
        path: "../wit",
        world: "edge",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

easel_contract::wit_conversions!(wit);

/// How many bytes of a picture are read at a time.
const PIECE: usize = 64 << 10;

/// The service behind the import: a host, or a component composed with this one.
pub(crate) struct Imported;

/// Makes a call and converts its answer. A component has one thread, so its futures may be marked as `Send`.
async fn ask<T: Convert<U>, U>(call: impl Future<Output = Result<T, wit::Failure>>) -> Result<U> {
    SendWrapper::new(call).await.map(T::convert).map_err(wit::Failure::convert)
}

/// Forwards the table's calls to the import.
macro_rules! forward_calls {
    (
        { $($written_out:tt)* }
        $(
            $(#[$doc:meta])*
            $call:ident: $method:ident as $wit:ident($($argument:ident: $type:ty),*) -> $answer:ty;
        )*
    ) => {
        #[async_trait]
        impl Service for Imported {
            $(
                async fn $method(&self, $($argument: $type),*) -> Result<$answer> {
                    ask(wit::$wit($($argument.convert()),*)).await
                }
            )*
            $($written_out)*
        }
    };
}

easel_contract::service_calls!(forward_calls {
    async fn watch(&self, id: String, options: WatchOptions) -> Result<ProgressStream> {
        let reports = SendWrapper::new(wit::watch(id, options.convert())).await;
        let next = async |mut reports: StreamReader<wit::Progress>| Some((reports.next().await?.convert(), reports));
        reports.map(|reports| sent(stream::unfold(reports, next))).map_err(wit::Failure::convert)
    }

    async fn read_image(&self, id: u64, range: Range<u64>) -> Result<ByteStream> {
        let bytes = SendWrapper::new(wit::read_image(id, range.start, range.end)).await;
        let next = async |mut bytes: StreamReader<u8>| {
            let (status, piece) = bytes.read(Vec::with_capacity(PIECE)).await;
            let is_over = matches!(status, StreamResult::Dropped) && piece.is_empty();
            (!is_over).then(|| (Ok(Bytes::from(piece)), bytes))
        };
        bytes.map(|bytes| sent(stream::unfold(bytes, next))).map_err(wit::Failure::convert)
    }

    async fn health(&self) -> Health {
        Health { checks: SendWrapper::new(wit::health()).await.convert() }
    }

    async fn sleep(&self, duration: Duration) {
        SendWrapper::new(spin_sdk::time::sleep(duration)).await;
    }
});

fn sent<T>(stream: impl Stream<Item = T> + 'static) -> BoxStream<'static, T> {
    SendWrapper::new(stream).boxed()
}
