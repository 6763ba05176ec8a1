//! Caikit's services over gRPC, for clients that tonic made.

use crate::{Host, native};
use axum::Router;
use bytes::Bytes;
use easel_contract::Service;
use easel_contract::service::{Paging, Status as TaskStatus, TaskFilter};
use easel_host::serve::grpc::proto::caikit::runtime::info::info_service_client::InfoServiceClient;
use easel_host::serve::grpc::proto::caikit_data_model::common::runtime::{ModelInfoRequest, RuntimeInfoRequest};
use easel_host::serve::grpc::proto::ccv::TextToImageTaskRequest;
use easel_host::serve::grpc::proto::ccv::computer_vision_service_client::ComputerVisionServiceClient;
use easel_host::serve::{Config, QueueService, Server, guarded};
use easel_picture::{Image, ImageFormat, Limits};
use easel_transcripts::{Client, Setup};
use http::Uri;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

/// A server, until it is dropped.
struct Served {
    address: SocketAddr,
    service: QueueService,
    server: JoinHandle<()>,
    _host: Host,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Served {
    async fn start(setup: &Setup) -> Self {
        let mut made = None;
        let host = Host::start(setup, |service, config| {
            let own = ([127, 0, 0, 1], 0).into();
            let config = Config { listen: own, grpc: Some(own), ..config.clone() };
            made = Some((service.clone(), config.clone()));
            native(service, &config)
        });
        let (service, config) = made.unwrap();
        let server = Server::bind(&config).await.unwrap();
        let (name, address) = server.other_addresses().next().unwrap();
        assert_eq!(name, "gRPC");
        let router: Router = guarded(host.router.clone(), &config);
        let server = tokio::spawn(server.run(router, service.clone(), Duration::ZERO, std::future::pending()));
        Self { address, service, server, _host: host }
    }

    fn origin(&self) -> Uri {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// A connection, as a service for tonic's clients.
    async fn connect(&self) -> impl Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        tower::service_fn(move |request| sender.clone().send_request(request))
    }

    async fn vision(&self) -> ComputerVisionServiceClient<impl Connection> {
        ComputerVisionServiceClient::with_origin(self.connect().await, self.origin())
    }

    /// The refusal of a request.
    async fn refused(&self, request: Request<TextToImageTaskRequest>) -> (Code, String) {
        let refused = self.vision().await.text_to_image_task_predict(request).await.unwrap_err();
        (refused.code(), refused.message().to_owned())
    }

    /// Waits until the only task has this status.
    async fn until(&self, status: TaskStatus) {
        let filter = || TaskFilter { status: Some(status), paging: Paging { page: 1, limit: 9 } };
        let asked = async {
            while self.service.tasks(filter()).await.unwrap().total == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), asked).await.expect("the task gets that far");
    }
}

/// A connection for tonic's clients.
trait Connection:
    tower::Service<http::Request<Body>, Response = http::Response<Incoming>, Error = hyper::Error, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<T> Connection for T where
    T: tower::Service<http::Request<Body>, Response = http::Response<Incoming>, Error = hyper::Error, Future: Send>
        + Clone
        + Send
        + 'static
{
}

fn cat() -> TextToImageTaskRequest {
    TextToImageTaskRequest { inputs: "a cat".into(), height: Some(69), width: Some(75), ..Default::default() }
}

fn asking(model: &str, asked: TextToImageTaskRequest) -> Request<TextToImageTaskRequest> {
    let mut request = Request::new(asked);
    request.metadata_mut().insert("mm-model-id", model.parse().unwrap());
    request
}

fn decoded(bytes: &[u8]) -> (ImageFormat, Image) {
    (ImageFormat::detect(bytes).unwrap(), Image::decode(bytes, &Limits::default()).unwrap())
}

#[tokio::test]
async fn a_picture_has_the_requested_size_and_format() {
    let served = Served::start(&Setup::default()).await;
    let mut vision = served.vision().await;
    let answer = vision.text_to_image_task_predict(asking("stub_model", cat())).await.unwrap();
    let seed = answer.metadata().get("x-easel-seed").unwrap().to_str().unwrap().to_owned();
    let answer = answer.into_inner();
    let (format, image) = decoded(&answer.output.unwrap().image_data);
    assert_eq!((format, image), (ImageFormat::Png, Image::stub(75, 69).unwrap()));
    assert_eq!((answer.caption.as_str(), answer.producer_id.unwrap().name.as_str()), ("a cat", "easel"));
    let stored = served.service.image(1).await.unwrap();
    assert_eq!(seed, stored.seed.to_string(), "the task is one like any other");

    let jpeg = TextToImageTaskRequest { image_format: Some("JPEG".into()), num_steps: Some(2), ..cat() };
    let answer = vision.text_to_image_task_predict(asking("easel-emoji", jpeg)).await.unwrap().into_inner();
    let (format, image) = decoded(&answer.output.unwrap().image_data);
    assert_eq!((format, image.width, image.height), (ImageFormat::Jpeg, 72, 72), "others draw multiples of 8");
}

#[tokio::test]
async fn errors_have_their_status() {
    let served = Served::start(&Setup::default()).await;
    assert_eq!(served.refused(Request::new(cat())).await.0, Code::InvalidArgument);
    let (code, message) = served.refused(asking("no-such-model", cat())).await;
    assert_eq!((code, message.as_str()), (Code::NotFound, "model: \"no-such-model\" is not a known model"));
    let tall = TextToImageTaskRequest { height: Some(4096), ..cat() };
    let (code, message) = served.refused(asking("stub", tall)).await;
    assert_eq!((code, message.as_str()), (Code::InvalidArgument, "height: must be between 64 and 2048, got 4096"));
    let mut soon = asking("stub", cat());
    soon.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    assert_eq!(served.refused(soon).await.0, Code::InvalidArgument);
    let long = TextToImageTaskRequest { inputs: "a".repeat(10_001), ..cat() };
    let (code, message) = served.refused(asking("stub", long)).await;
    assert_eq!((code, message.split(':').next()), (Code::InvalidArgument, Some("inputs")));

    let stopping = Served::start(&Setup { stopping: true, ..Setup::default() }).await;
    assert_eq!(stopping.refused(asking("stub", cat())).await.0, Code::Unavailable);
    let failing = Served::start(&Setup::default()).await;
    let fails = TextToImageTaskRequest { inputs: "please fail".into(), ..cat() };
    let (code, message) = failing.refused(asking("stub", fails)).await;
    assert_eq!((code, message.as_str()), (Code::Internal, "the picture could not be drawn: asked to fail"));
}

#[tokio::test]
async fn a_full_queue_is_an_exhausted_resource() {
    let served = Served::start(&Setup { queue: 1, ..Setup::default() }).await;
    let slow = || asking("stub", TextToImageTaskRequest { num_steps: Some(1000), ..cat() });
    let mut calls = Vec::new();
    for status in [TaskStatus::Processing, TaskStatus::Pending] {
        let mut vision = served.vision().await;
        calls.push(tokio::spawn(async move { vision.text_to_image_task_predict(slow()).await.map(drop) }));
        served.until(status).await;
    }
    assert_eq!(served.refused(slow()).await.0, Code::ResourceExhausted);
    calls.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn keys_are_asked_for() {
    let keys = vec![("secret".to_owned(), None), ("narrow".to_owned(), Some(vec!["stub".to_owned()]))];
    let served = Served::start(&Setup { keys, ..Setup::default() }).await;
    let with_key = |key: &str, model: &str| {
        let mut request = asking(model, cat());
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        request
    };
    assert_eq!(served.refused(asking("stub", cat())).await.0, Code::Unauthenticated);
    assert_eq!(served.refused(with_key("wrong", "stub")).await.0, Code::Unauthenticated);
    assert_eq!(served.refused(with_key("narrow", "easel-emoji")).await.0, Code::PermissionDenied);
    let mut vision = served.vision().await;
    assert!(vision.text_to_image_task_predict(with_key("narrow", "stub_model")).await.is_ok());
    let mut health = HealthClient::with_origin(served.connect().await, served.origin());
    assert!(health.check(HealthCheckRequest::default()).await.is_ok(), "monitoring needs no key");
}

#[tokio::test]
async fn a_call_that_ends_early_ends_its_task() {
    let served = Served::start(&Setup::default()).await;
    let slow = || asking("stub", TextToImageTaskRequest { num_steps: Some(1000), ..cat() });
    let mut vision = served.vision().await;
    let call = tokio::spawn(async move { vision.text_to_image_task_predict(slow()).await.map(drop) });
    served.until(TaskStatus::Processing).await;
    call.abort();
    served.until(TaskStatus::Cancelled).await;

    let served = Served::start(&Setup::default()).await;
    let mut late = slow();
    late.set_timeout(Duration::from_millis(50));
    let refused = served.vision().await.text_to_image_task_predict(late).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded);
    served.until(TaskStatus::Cancelled).await;
}

#[tokio::test]
async fn the_runtime_and_its_models_are_listed() {
    let served = Served::start(&Setup::default()).await;
    let mut info = InfoServiceClient::with_origin(served.connect().await, served.origin());
    let runtime = info.get_runtime_info(RuntimeInfoRequest {}).await.unwrap().into_inner();
    assert!(!runtime.runtime_version.is_empty() && runtime.python_packages.is_empty());
    let all = info.get_models_info(ModelInfoRequest::default()).await.unwrap().into_inner().models;
    let names: Vec<&str> = all.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["stub_model", "stub", "easel-emoji"]);
    let emoji = ModelInfoRequest { model_ids: vec!["easel-emoji".into(), "none".into()] };
    let found = info.get_models_info(emoji).await.unwrap().into_inner().models;
    let [emoji] = &found[..] else { panic!("{found:?}") };
    assert!(emoji.size > 1 << 20 && !emoji.loaded && emoji.module_metadata["name"] == "easel");
    assert!(emoji.metadata.as_ref().unwrap().fields.contains_key("width"));
}

#[tokio::test]
async fn health_is_served_and_unknown_services_are_not_found() {
    let served = Served::start(&Setup::default()).await;
    let mut health = HealthClient::with_origin(served.connect().await, served.origin());
    let mut check = async |service: &str| {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await;
        answer.map(|answer| answer.into_inner().status)
    };
    for service in ["", "ccv.ComputerVisionService", "caikit.runtime.info.InfoService"] {
        assert_eq!(check(service).await.unwrap(), 1, "{service} is serving");
    }
    assert_eq!(check("no.such.Service").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_service_that_stops_is_no_longer_served_and_its_watchers_learn_that() {
    let served = Served::start(&Setup::default()).await;
    let mut health = HealthClient::with_origin(served.connect().await, served.origin());
    let request = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let mut watched = health.watch(request("ccv.ComputerVisionService")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 1, "SERVING");
    let mut unknown = health.watch(request("no.such.Service")).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status, 3, "SERVICE_UNKNOWN");

    let service = served.service.clone();
    tokio::task::spawn_blocking(move || service.shutdown(Duration::ZERO)).await.unwrap();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 2, "NOT_SERVING");
    assert_eq!(health.check(request("")).await.unwrap().into_inner().status, 2, "NOT_SERVING");
}

/// Asks a version of the reflection service for its list, while the request's stream stays open, and for a file.
macro_rules! reflect {
    ($version:ident, $served:expr) => {{
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let ask = |asked| {
            let request = $version::ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
            futures_util::stream::StreamExt::chain(
                futures_util::stream::iter([request]),
                futures_util::stream::pending(),
            )
        };
        let connection = $served.connect().await;
        let mut client =
            $version::server_reflection_client::ServerReflectionClient::with_origin(connection, $served.origin());
        let list = ask(MessageRequest::ListServices(String::new()));
        let mut answers = client.server_reflection_info(list).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::ListServicesResponse(listed)) = answer else { panic!("{answer:?}") };
        let names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
        for name in ["ccv.ComputerVisionService", "caikit.runtime.info.InfoService", "grpc.health.v1.Health"] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        let file = ask(MessageRequest::FileContainingSymbol("ccv.TextToImageTaskRequest".to_owned()));
        let mut answers = client.server_reflection_info(file).await.unwrap().into_inner();
        let answer = answers.message().await.unwrap().unwrap().message_response;
        assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
    }};
}

#[tokio::test]
async fn reflection_answers_in_both_versions() {
    let served = Served::start(&Setup::default()).await;
    reflect!(v1, served);
    reflect!(v1alpha, served);
}

#[tokio::test]
async fn without_an_address_there_is_no_grpc() {
    let host = Host::start(&Setup::default(), native);
    let request = http::Request::post("/ccv.ComputerVisionService/TextToImageTaskPredict");
    let answer = host.send(request.body(Bytes::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), http::StatusCode::NOT_FOUND);
}
