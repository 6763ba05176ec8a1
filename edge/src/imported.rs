//! The imported interface as the contract's service.

use async_trait::async_trait;
use bytes::Bytes;
use easel_contract::service::{
    ByteStream, Device, DeviceChoice, Health, Image, ImageFilter, ImageRequest, Page, Priority, ProgressStream, Result,
    Run, Service, Task, TaskFilter, TaskSelection, WatchOptions,
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

easel_contract::studio_conversions!(wit);

/// How many bytes are read from a picture at once.
const PIECE: usize = 64 << 10;

/// Whoever satisfies the import.
pub(crate) struct Studio;

/// A call and its answer. A component has one thread, so futures that are not `Send` may be called so.
async fn ask<T: Convert<U>, U>(call: impl Future<Output = Result<T, wit::Failure>>) -> Result<U> {
    SendWrapper::new(call).await.map(T::convert).map_err(wit::Failure::convert)
}

#[async_trait]
impl Service for Studio {
    async fn submit(&self, request: ImageRequest, priority: Priority) -> Result<Task> {
        ask(wit::submit(request.convert(), priority.convert())).await
    }

    async fn task(&self, id: &str) -> Result<Task> {
        ask(wit::get_task(id.to_owned())).await
    }

    async fn tasks(&self, filter: TaskFilter) -> Result<Page<Task>> {
        ask(wit::list_tasks(filter.convert())).await
    }

    async fn watch(&self, id: &str, options: WatchOptions) -> Result<ProgressStream> {
        let reports = SendWrapper::new(wit::watch(id.to_owned(), options.convert())).await;
        let next = async |mut reports: StreamReader<wit::Progress>| Some((reports.next().await?.convert(), reports));
        reports.map(|reports| sent(stream::unfold(reports, next))).map_err(wit::Failure::convert)
    }

    async fn cancel(&self, id: &str) -> Result<()> {
        ask(wit::cancel(id.to_owned())).await
    }

    async fn delete_tasks(&self, selection: TaskSelection) -> Result<u64> {
        ask(wit::delete_tasks(selection.convert())).await
    }

    async fn run(&self, request: ImageRequest) -> Result<Task> {
        ask(wit::start_run(request.convert())).await
    }

    async fn latest_run(&self) -> Result<Option<Run>> {
        ask(wit::latest_run()).await
    }

    async fn take_run(&self) -> Result<Image> {
        ask(wit::take_run()).await
    }

    async fn images(&self, filter: ImageFilter) -> Result<Page<Image>> {
        ask(wit::list_images(filter.convert())).await
    }

    async fn image(&self, id: u64) -> Result<Image> {
        ask(wit::get_image(id)).await
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

    async fn delete_image(&self, id: u64) -> Result<()> {
        ask(wit::delete_image(id)).await
    }

    async fn devices(&self) -> Result<Vec<Device>> {
        ask(wit::list_devices()).await
    }

    async fn select_device(&self, choice: DeviceChoice) -> Result<Device> {
        let kind = match choice {
            DeviceChoice::Auto => None,
            DeviceChoice::Kind(kind) => Some(kind.convert()),
        };
        ask(wit::select_device(kind)).await
    }

    async fn health(&self) -> Health {
        Health { checks: SendWrapper::new(wit::health()).await.convert() }
    }

    async fn metrics(&self) -> Result<String> {
        ask(wit::metrics()).await
    }

    async fn sleep(&self, duration: Duration) {
        SendWrapper::new(spin_sdk::time::sleep(duration)).await;
    }
}

fn sent<T>(stream: impl Stream<Item = T> + 'static) -> BoxStream<'static, T> {
    SendWrapper::new(stream).boxed()
}
