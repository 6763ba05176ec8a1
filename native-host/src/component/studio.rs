//! The interface `easel:image/studio` for components, answered by a service.

use super::clients::{Clients, Left};
use super::streams::{Pieces, Reports};
use bindings::easel::image::studio as wit;
use bindings::easel::image::studio::{
    Analysis, AnalysisRequest, Device, DeviceKind, Image, ImageFilter, ImagePage, ImageRequest, Model, Priority, Run,
    Sampler, Session, Task, TaskFilter, TaskPage, TaskSelection,
};
use easel_contract::service::Result as Answer;
use easel_contract::wit::Convert;
use easel_contract::{Error, Service, service_calls, wit_conversions};
use std::sync::Arc;
use wasmtime::component::{Accessor, HasData, Linker, StreamReader};
use wasmtime::{AsContextMut, Result};

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

/// Provides components of this linker with the interface `easel:image/studio`.
pub fn add_to_linker<T: StudioView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    link(linker, |data| Linked { service: data.studio(), clients: None })
}

/// Provides components of this linker with the interface, answered by what `linked` makes of a store's data.
pub(super) fn link<T: Send + 'static>(linker: &mut Linker<T>, linked: fn(&mut T) -> Linked) -> Result<()> {
    wit::add_to_linker::<T, Link>(linker, linked)
}

/// Connects a store's data with the interface's functions.
struct Link;

/// What answers a store's calls of the interface.
pub(super) struct Linked {
    pub(super) service: Arc<dyn Service>,
    /// The clients of the store's requests, if they are known.
    pub(super) clients: Option<Clients>,
}

impl HasData for Link {
    type Data<'a> = Linked;
}

/// An answer in the component's types.
type Answered<T> = Result<std::result::Result<T, wit::Failure>>;

fn answer<T: Convert<U>, U>(answer: Answer<T>) -> Answered<U> {
    Ok(answer.map(T::convert).map_err(Convert::convert))
}

fn service<T>(accessor: &Accessor<T, Link>) -> Arc<dyn Service> {
    accessor.with(|mut access| access.get().service)
}

/// The client for whom the guest makes the call that begins now. Must be asked before the call waits for anything.
fn client<T>(accessor: &Accessor<T, Link>) -> Result<Option<Left>> {
    accessor.with(|mut access| {
        let Some(clients) = access.get().clients else { return Ok(None) };
        let mut store = access.as_context_mut();
        let calls = store.async_call_stack()?;
        Ok(clients.of(calls))
    })
}

/// The answer to a call, unless the client for whom it is made has left before: nobody would read it.
async fn for_client<T>(client: Option<Left>, call: impl Future<Output = Answer<T>>) -> Answer<T> {
    let Some(left) = client else { return call.await };
    tokio::pin!(call);
    tokio::select! {
        biased;
        answer = &mut call => return answer,
        has_left = left => if has_left { return Err(Error::TaskCancelled) },
    }
    call.await
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
                    // An analysis is long and leaves nothing behind; the others are short, or tasks that are watched.
                    let client = if stringify!($wit) == "analyze" { client(store)? } else { None };
                    answer(for_client(client, service(store).$method($($argument.convert()),*)).await)
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
        let client = client(store)?;
        match service(store).watch(id, options.convert()).await {
            Ok(reports) => store.with(|access| StreamReader::new(access, Reports { reports, client })).map(Ok),
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
