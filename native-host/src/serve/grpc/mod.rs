//! Caikit's services over gRPC, with health checking and reflection, as routes beside those of HTTP. They share the server, TLS,
//! keys, limits and the queue. The definitions are in `native-host/proto`.

mod deadline;
mod health;
mod info;
mod predict;
mod status;

/// The messages, services and clients of the definitions.
#[allow(missing_docs, reason = "generated; the definitions have comments")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

pub(super) use status::of as status;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use easel_contract::access::{Caller, admitted};
use easel_contract::{Service, Settings};
use health::Monitor;
use info::Info;
use predict::Vision;
use proto::caikit::runtime::info::info_service_server::{InfoServiceServer, SERVICE_NAME as INFO};
use proto::ccv::computer_vision_service_server::{ComputerVisionServiceServer, SERVICE_NAME as VISION};
use std::convert::Infallible;
use std::sync::Arc;
use tonic::Status;
use tonic::server::NamedService;
use tonic_health::pb::health_server::HealthServer;

/// The definitions as reflection answers with them.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The longest request in bytes. Two of the longest prompts fit.
const MESSAGE: usize = 256 << 10;

/// The services as routes.
pub(super) fn routes(service: Arc<dyn Service>, settings: Settings) -> Router {
    let vision = ComputerVisionServiceServer::new(Vision(Arc::clone(&service)));
    let routes = add(Router::new(), vision.max_decoding_message_size(MESSAGE));
    let info = InfoServiceServer::new(Info(Arc::clone(&service)));
    let routes = add(routes, info.max_decoding_message_size(MESSAGE));
    let health = HealthServer::new(Monitor(service));
    let routes = reflection(add(routes, health.max_decoding_message_size(MESSAGE)));
    routes.layer(from_fn_with_state(Arc::new(settings), identify))
}

/// Reflection in both versions. Some clients only know the older one.
fn reflection(routes: Router) -> Router {
    let described = || {
        let builder = tonic_reflection::server::Builder::configure();
        let builder = builder.register_encoded_file_descriptor_set(DESCRIPTORS);
        builder.register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let compiled_in = "the descriptors were compiled into this program";
    let routes = add(routes, described().build_v1().expect(compiled_in));
    add(routes, described().build_v1alpha().expect(compiled_in))
}

fn add<S, F>(routes: Router, service: S) -> Router
where
    S: tower::Service<Request, Error = Infallible, Response: IntoResponse, Future = F>,
    S: NamedService + Clone + Send + Sync + 'static,
    F: Send + 'static,
{
    routes.route_service(&format!("/{}/{{*method}}", S::NAME), service)
}

/// Refuses calls without access, and passes the caller on to the services.
async fn identify(State(settings): State<Arc<Settings>>, mut request: Request, next: Next) -> Response {
    match admitted(&settings, &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => status(&error).into_http(),
    }
}

/// Whether a request is a call over gRPC.
pub(super) fn is_call(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The caller.
fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    // A route without access control in front of it must not be open by accident.
    request.extensions().get::<Caller>().cloned().ok_or_else(|| Status::internal("the call was not checked"))
}
