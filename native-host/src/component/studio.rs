//! The interface `easel:image/studio` for components, answered by a service.

use super::streams::{Pieces, Reports};
use bindings::easel::image::studio as wit;
use bindings::easel::image::studio::{
    Device, DeviceKind, Image, ImageFilter, ImagePage, ImageRequest, Model, Priority, Run, Sampler, Session, Task,
    TaskFilter, TaskPage, TaskSelection,
};
use easel_contract::service::Result as Answer;
use easel_contract::wit::Convert;
use easel_contract::{Service, service_calls, wit_conversions};
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{Accessor, HasData, Linker, StreamReader};

pub(super) mod bindings {
    #![allow(missing_docs, unreachable_pub, reason = "generated")]
    wasmtime::component::bindgen!({ path: "../wit", world: "edge", imports: { default: trappable } });
}

wit_conversions!(wit);

/// What a store's data must provide.
pub trait StudioView: Send {
    /// The service that answers the component.
    fn studio(&mut self) -> Arc<dyn Service>;
}

/// Gives components of this linker the interface `easel:image/studio`.
pub fn add_to_linker<T: StudioView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    wit::add_to_linker::<T, Link>(linker, |data| Linked(data.studio()))
}

/// Connects any store's data with the interface's functions.
struct Link;

struct Linked(Arc<dyn Service>);

impl HasData for Link {
    type Data<'a> = Linked;
}

/// An answer in the component's types.
type Answered<T> = Result<std::result::Result<T, wit::Failure>>;

fn answer<T: Convert<U>, U>(answer: Answer<T>) -> Answered<U> {
    Ok(answer.map(T::convert).map_err(Convert::convert))
}

fn service<T>(accessor: &Accessor<T, Link>) -> Arc<dyn Service> {
    accessor.with(|mut access| access.get().0)
}

impl wit::Host for Linked {}

/// Implements the calls of the table in the generated types.
macro_rules! answer_calls {
    (
        { $($written_out:tt)* }
        $(
            $(#[$doc:meta])*
            $call:ident: $method:ident as $wit:ident($($argument:ident: $type:ty),*) -> $answer:ty;
        )*
    ) => {
        impl<T> wit::HostWithStore<T> for Link {
            $(
                async fn $wit(store: &Accessor<T, Self>, $($argument: $type),*) -> Answered<$answer> {
                    answer(service(store).$method($($argument.convert()),*).await)
                }
            )*
            $($written_out)*
        }
    };
}

service_calls!(answer_calls {
    async fn watch(
        store: &Accessor<T, Self>,
        id: String,
        options: wit::WatchOptions,
    ) -> Answered<StreamReader<wit::Progress>> {
        match service(store).watch(id, options.convert()).await {
            Ok(reports) => store.with(|access| StreamReader::new(access, Reports(reports))).map(Ok),
            Err(error) => Ok(Err(error.convert())),
        }
    }

    async fn read_image(store: &Accessor<T, Self>, id: u64, start: u64, end: u64) -> Answered<StreamReader<u8>> {
        match service(store).read_image(id, start..end).await {
            Ok(bytes) => store.with(|access| StreamReader::new(access, Pieces(bytes))).map(Ok),
            Err(error) => Ok(Err(error.convert())),
        }
    }

    async fn health(store: &Accessor<T, Self>) -> Result<Vec<wit::Check>> {
        Ok(service(store).health().await.checks.convert())
    }
});
