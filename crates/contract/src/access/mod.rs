//! Access control: the checks that every request passes before its route sees it.
//!
//! 1. **The name** under which the server was called (`hosts`). If a page's domain is made to point to this machine
//!    ("DNS rebinding"), browsers take it for a page of this server. The name in `host` gives it away.
//! 2. **The page** that sends the request (`origins`). Browsers let every page send simple requests anywhere, and only
//!    hide the answers from it (CORS, <https://fetch.spec.whatwg.org>). From foreign pages, requests that change
//!    something are refused, and so are all that the browser marks as cross-site (Fetch Metadata,
//!    <https://www.w3.org/TR/fetch-metadata>).
//! 3. **The key** (`keys`), if the deployment has keys.
//!
//! All of this depends only on the request's head and on [`Settings`], so the router refuses the same requests natively
//! and in a component. Rates and concurrency need a clock, so the host limits them.

mod hosts;
mod keys;
mod origins;

pub use hosts::{HostNames, authority};
pub use keys::{Key, KeyRing, Keys, digest};
pub use origins::Origins;

use crate::error::shape;
use crate::extract::Reading;
use crate::family::Family;
use crate::origin::{REQUEST_ID, Sender, request_id};
use crate::service::{ImageRequest, Model, Priority, Result, Service, Task};
use crate::{Error, Settings, accept};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::sync::Arc;
use tower::{Layer, Service as _};

/// The health routes. They need no key, so that monitoring works without one.
const HEALTH: [&str; 3] = ["/health", "/health/live", "/health/ready"];

/// The health check of gRPC (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>). `Watch` needs a key: its answer
/// never ends, so that anybody could hold connections with it.
const GRPC_HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Routes behind all checks. Errors get the shape of their family, and allowed pages can read the answers. The extensions
/// of a request contain its [`Caller`] and how to read its body.
pub fn protected(routes: Router, settings: Arc<Settings>) -> Router {
    let cors = settings.origins.layer();
    // As few layers as possible, because each is copied for every request.
    routes.layer((cors, from_fn_with_state(settings, guard)))
}

/// Refuses requests that fail a check.
async fn guard(State(settings): State<Arc<Settings>>, mut request: Request, next: Next) -> Response {
    let family = Family::of(request.uri().path());
    let sender = Sender::of(request.headers());
    let response = match key_of(&settings, &request) {
        Ok(key) => {
            let limit = settings.body_limit;
            DefaultBodyLimit::max(limit).apply(&mut request);
            let extensions = request.extensions_mut();
            extensions.insert(Reading { limit, offload: settings.offload.clone() });
            extensions.insert(Caller { key, sender: sender.clone() });
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    let mut response = shape(family, sender.request_id(), response);
    if let Some(id) = sender.request_id() {
        response.headers_mut().insert(REQUEST_ID, id.clone());
    }
    response
}

/// The client of a request that passes all checks.
///
/// # Errors
/// Those of [`check_source`], [`Error::KeyRequired`], [`Error::KeyUnknown`].
pub fn admitted<B>(settings: &Settings, request: &axum::http::Request<B>) -> Result<Caller> {
    let key = key_of(settings, request)?;
    Ok(Caller { key, sender: Sender::of(request.headers()) })
}

/// The key of an admitted request, if the server has keys.
fn key_of<B>(settings: &Settings, request: &axum::http::Request<B>) -> Result<Option<Arc<Key>>> {
    if request.extensions().get::<SourceChecked>().is_none() {
        check_source(settings, request)?;
    }
    match &settings.keys {
        Some(keys) if needs_key(request) => keys.get().of(request.headers()).map(Some),
        _ => Ok(None),
    }
}

/// The extension of a request that has passed [`check_source`], so that it is not checked again.
#[derive(Clone, Copy, Debug)]
pub struct SourceChecked;

/// Refuses a request under a name that is not the server's, and a request from a foreign page.
///
/// # Errors
/// [`Error::InvalidHost`], [`Error::HostNotAllowed`], [`Error::PageNotAllowed`].
pub fn check_source<B>(settings: &Settings, request: &axum::http::Request<B>) -> Result<()> {
    settings.host_names.check(request.uri(), request.headers())?;
    settings.origins.check(request)
}

/// Whether a request needs a key on a server with keys. All do, except for the health routes (also gRPC's `Check`), the page
/// at `/`, and pictures whose address contains the hash of their bytes.
pub fn needs_key<B>(request: &axum::http::Request<B>) -> bool {
    let path = request.uri().path();
    if path == GRPC_HEALTH {
        return false;
    }
    let is_shared = path.strip_prefix("/images/").is_some_and(|rest| rest.split('/').count() == 2);
    let is_open = is_shared || HEALTH.contains(&path) || (path == "/" && accept::prefers_page(request.headers()));
    !(is_open && matches!(*request.method(), Method::GET | Method::HEAD))
}

/// The answer to a request that a host refuses before the router sees it, in the router's format.
pub async fn refusal(settings: &Settings, request: Request, error: Error) -> Response {
    let response = shape(Family::of(request.uri().path()), request_id(request.headers()), error.into_response());
    let mut answer = Some(response);
    let routes = tower::service_fn(move |_: Request| {
        let answer = answer.take().unwrap_or_default();
        async move { Ok::<_, Infallible>(answer) }
    });
    let Ok(response) = settings.origins.layer().layer(routes).call(request).await;
    response
}

/// The client, identified by its key if the server has keys; without a key, it may use every model.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    key: Option<Arc<Key>>,
    sender: Sender,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        // A route that was forgotten outside the guard must not be open by accident.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Error::internal("the request was not checked"))
    }
}

impl Caller {
    /// [`Service::submit`], if the caller may use the model.
    ///
    /// # Errors
    /// [`Error::ModelNotAllowed`] and those of the service.
    pub async fn submit(self, service: &dyn Service, request: ImageRequest, priority: Priority) -> Result<Task> {
        service.submit(self.admit(request)?, priority).await
    }

    /// [`Service::run`], if the caller may use the model.
    pub(crate) async fn run(self, service: &dyn Service, request: ImageRequest) -> Result<Task> {
        service.run(self.admit(request)?).await
    }

    /// The name of the caller's session.
    pub(crate) fn session(&self) -> String {
        self.key.as_ref().map_or_else(String::new, |key| key.name.clone())
    }

    /// The models that the caller may use.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn models(&self, service: &dyn Service) -> Result<Vec<Model>> {
        let mut models = service.models().await?;
        if let Some(allowed) = self.key.as_ref().and_then(|key| key.models.as_ref()) {
            models.retain(|model| allowed.contains(&model.name));
        }
        Ok(models)
    }

    /// Checks the model. If the request names none, it gets the first model of a key that is limited to certain models.
    fn admit(&self, mut request: ImageRequest) -> Result<ImageRequest> {
        request.origin = self.sender.origin();
        let Some(models) = self.key.as_ref().and_then(|key| key.models.as_ref()) else { return Ok(request) };
        let model = request.model.or_else(|| models.first().cloned()).unwrap_or_default();
        self.check_model(&model)?;
        request.model = Some(model);
        Ok(request)
    }

    /// Refuses a model that the caller may not use, whether it exists or not.
    pub(crate) fn check_model(&self, model: &str) -> Result<()> {
        match self.key.as_ref().and_then(|key| key.models.as_ref()) {
            Some(allowed) if !allowed.iter().any(|name| name == model) => {
                Err(Error::ModelNotAllowed { model: model.to_owned(), allowed: allowed.clone() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::header;
    use futures_util::FutureExt;

    fn key(models: &[&str]) -> Caller {
        let models = Some(models.iter().map(|name| (*name).to_owned()).collect());
        Caller { key: Some(Arc::new(Key { models, ..Key::new("a", b"secret") })), ..Caller::default() }
    }

    fn asking(model: Option<&str>) -> ImageRequest {
        ImageRequest { model: model.map(str::to_owned), ..ImageRequest::default() }
    }

    #[test]
    fn tasks_remember_where_they_came_from() {
        let headers = axum::http::HeaderMap::from_iter([(REQUEST_ID, "mine".parse().unwrap())]);
        let caller = Caller { sender: Sender::of(&headers), ..Caller::default() };
        let origin = caller.admit(asking(None)).unwrap().origin.unwrap();
        assert_eq!((origin.request_id.as_deref(), origin.traceparent), (Some("mine"), None));
        assert_eq!(Caller::default().admit(asking(None)).unwrap().origin, None);
    }

    #[test]
    fn an_internal_error_names_its_request_in_the_shape_of_every_family() {
        for path in ["/pipeline/run", "/generate", "/imagine", "/v1/models", "/sdapi/v1/options"] {
            let request = Request::get(path).header(REQUEST_ID, "mine").body(Body::empty()).unwrap();
            let answer = refusal(&Settings::default(), request, Error::internal("it failed")).now_or_never().unwrap();
            let body = axum::body::to_bytes(answer.into_body(), 1000).now_or_never().unwrap().unwrap();
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert!(text.contains("internal error: it failed (request mine)"), "{path}: {text}");
        }
    }

    #[test]
    fn a_key_may_use_its_models_and_the_first_is_its_default() {
        let limited = key(&["small", "large"]);
        assert_eq!(limited.admit(asking(Some("large"))).unwrap().model.as_deref(), Some("large"));
        assert_eq!(limited.admit(asking(None)).unwrap().model.as_deref(), Some("small"));
        let refused = limited.admit(asking(Some("other"))).unwrap_err();
        assert_eq!(refused.to_string(), "model: this key may not use \"other\"; it may use small, large");
        assert_eq!(Caller::default().admit(asking(None)).unwrap().model, None);
    }

    #[test]
    fn only_health_and_the_page_need_no_key() {
        let needs = |method: &str, path: &str, accept: &str| {
            let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
            needs_key(&request.body(Body::empty()).unwrap())
        };
        assert!(!needs("GET", "/health", "*/*") && !needs("HEAD", "/health/ready", "*/*"));
        assert!(!needs("GET", "/", "text/html") && needs("GET", "/", "application/json"));
        assert!(needs("POST", "/health", "*/*") && !needs("POST", "/grpc.health.v1.Health/Check", "*/*"));
        assert!(needs("POST", "/grpc.health.v1.Health/Watch", "*/*"));
        assert!(!needs("GET", "/images/7/0af1", "*/*") && needs("DELETE", "/images/7/0af1", "*/*"));
        assert!(needs("GET", "/images/7", "*/*") && needs("GET", "/images/7/0af1/more", "*/*"));
        for path in ["/metrics", "/docs", "/openapi.json", "/images", "/health/", "/none"] {
            assert!(needs("GET", path, "text/html"), "{path}");
        }
    }
}
