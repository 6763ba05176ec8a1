//! The interface `easel:image/studio` for components, answered by a service.

use super::streams::{Pieces, Reports};
use bindings::easel::image::studio as wit;
use easel_contract::service::{DeviceChoice, Result as Answer};
use easel_contract::wit::Convert;
use easel_contract::{Service, studio_conversions};
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{Accessor, HasData, Linker, StreamReader};

pub(super) mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated")]
    wasmtime::component::bindgen!({ path: "../wit", world: "edge", imports: { default: trappable } });
}

studio_conversions!(wit);

/// What the data of a store has to offer.
pub trait StudioView: Send {
    /// The service that answers the component.
    fn studio(&mut self) -> Arc<dyn Service>;
}

/// Gives components of this linker the interface `easel:image/studio`.
pub fn add_to_linker<T: StudioView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    wit::add_to_linker::<T, Link>(linker, |data| Linked(data.studio()))
}

/// Connects the data of any store with the functions of the interface.
struct Link;

struct Linked(Arc<dyn Service>);

impl HasData for Link {
    type Data<'a> = Linked;
}

/// The component's side of an answer.
type Answered<T> = Result<std::result::Result<T, wit::Failure>>;

fn answer<T: Convert<U>, U>(answer: Answer<T>) -> Answered<U> {
    Ok(answer.map(T::convert).map_err(Convert::convert))
}

fn service<T>(accessor: &Accessor<T, Link>) -> Arc<dyn Service> {
    accessor.with(|mut access| access.get().0)
}

impl wit::Host for Linked {}

impl<T> wit::HostWithStore<T> for Link {
    async fn submit(
        store: &Accessor<T, Self>,
        request: wit::ImageRequest,
        priority: wit::Priority,
    ) -> Answered<wit::Task> {
        answer(service(store).submit(request.convert(), priority.convert()).await)
    }

    async fn get_task(store: &Accessor<T, Self>, id: String) -> Answered<wit::Task> {
        answer(service(store).task(&id).await)
    }

    async fn list_tasks(store: &Accessor<T, Self>, filter: wit::TaskFilter) -> Answered<wit::TaskPage> {
        answer(service(store).tasks(filter.convert()).await)
    }

    async fn watch(
        store: &Accessor<T, Self>,
        id: String,
        options: wit::WatchOptions,
    ) -> Answered<StreamReader<wit::Progress>> {
        match service(store).watch(&id, options.convert()).await {
            Ok(reports) => store.with(|access| StreamReader::new(access, Reports(reports))).map(Ok),
            Err(error) => Ok(Err(error.convert())),
        }
    }

    async fn cancel(store: &Accessor<T, Self>, id: String) -> Answered<()> {
        answer(service(store).cancel(&id).await)
    }

    async fn delete_tasks(store: &Accessor<T, Self>, selection: wit::TaskSelection) -> Answered<u64> {
        answer(service(store).delete_tasks(selection.convert()).await)
    }

    async fn start_run(store: &Accessor<T, Self>, request: wit::ImageRequest) -> Answered<wit::Task> {
        answer(service(store).run(request.convert()).await)
    }

    async fn latest_run(store: &Accessor<T, Self>) -> Answered<Option<wit::Run>> {
        answer(service(store).latest_run().await)
    }

    async fn take_run(store: &Accessor<T, Self>) -> Answered<wit::Image> {
        answer(service(store).take_run().await)
    }

    async fn list_images(store: &Accessor<T, Self>, filter: wit::ImageFilter) -> Answered<wit::ImagePage> {
        answer(service(store).images(filter.convert()).await)
    }

    async fn get_image(store: &Accessor<T, Self>, id: u64) -> Answered<wit::Image> {
        answer(service(store).image(id).await)
    }

    async fn read_image(store: &Accessor<T, Self>, id: u64, start: u64, end: u64) -> Answered<StreamReader<u8>> {
        match service(store).read_image(id, start..end).await {
            Ok(bytes) => store.with(|access| StreamReader::new(access, Pieces(bytes))).map(Ok),
            Err(error) => Ok(Err(error.convert())),
        }
    }

    async fn delete_image(store: &Accessor<T, Self>, id: u64) -> Answered<()> {
        answer(service(store).delete_image(id).await)
    }

    async fn list_devices(store: &Accessor<T, Self>) -> Answered<Vec<wit::Device>> {
        answer(service(store).devices().await)
    }

    async fn select_device(store: &Accessor<T, Self>, kind: Option<wit::DeviceKind>) -> Answered<wit::Device> {
        let choice = kind.map_or(DeviceChoice::Auto, |kind| DeviceChoice::Kind(kind.convert()));
        answer(service(store).select_device(choice).await)
    }

    async fn health(store: &Accessor<T, Self>) -> Result<Vec<wit::Check>> {
        Ok(service(store).health().await.checks.convert())
    }

    async fn metrics(store: &Accessor<T, Self>) -> Answered<String> {
        answer(service(store).metrics().await)
    }
}
