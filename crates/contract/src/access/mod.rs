//! Who may call: what is checked of every request before its route sees it.
//!
//! 1. **The name** that the server was called by (`hosts`). A page whose name is made to point to this machine ("DNS
//!    rebinding") is a page of this server's own origin to a browser. What gives it away is its name in `host`.
//! 2. **The page** that calls (`origins`). Browsers let every page send simple requests anywhere, and merely keep the
//!    answers from it (CORS, <https://fetch.spec.whatwg.org>). Those that would change something are refused, and so are
//!    those that the browser itself marks as foreign (Fetch Metadata, <https://www.w3.org/TR/fetch-metadata>).
//! 3. **The key** (`keys`), where a deployment has set keys.
//!
//! All of it is a function of the request's head and of [`Settings`], so that the router refuses the same requests natively
//! and in a component. How often and how much at once a key may ask needs a clock: that is the host's.

mod hosts;
mod keys;
mod origins;

pub use hosts::{HostNames, authority};
pub use keys::{Key, KeyRing, Keys, digest};
pub use origins::Origins;

use crate::error::{Family, shape};
use crate::service::{ImageRequest, Model, Priority, Result, Service, Task};
use crate::{App, Error, Settings, accept};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::sync::Arc;
use tower::{Layer, Service as _};

/// The routes that say whether the service works: open to everyone, for those who watch over it.
const HEALTH: [&str; 3] = ["/health", "/health/live", "/health/ready"];

/// Refuses requests that may not call.
pub(crate) async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match admitted(&app.settings, &request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

fn admitted<B>(settings: &Settings, request: &axum::http::Request<B>) -> Result<Caller> {
    check_source(settings, request)?;
    let key = match &settings.keys {
        Some(keys) if needs_key(request) => Some(keys.get().of(request.headers())?),
        _ => None,
    };
    Ok(Caller(key))
}

/// Refuses a request under a name that the server does not have, and a request of a page that may not call.
///
/// # Errors
/// [`Error::InvalidHost`], [`Error::HostNotAllowed`], [`Error::PageNotAllowed`].
pub fn check_source<B>(settings: &Settings, request: &axum::http::Request<B>) -> Result<()> {
    settings.host_names.check(request.uri(), request.headers())?;
    settings.origins.check(request)
}

/// Whether a request needs a key where keys are set: all but the state of the service, the page at `/`, and a picture
/// whose address says the hash of its bytes.
pub fn needs_key<B>(request: &axum::http::Request<B>) -> bool {
    let path = request.uri().path();
    let is_shared = path.strip_prefix("/images/").is_some_and(|rest| rest.split('/').count() == 2);
    let is_open = is_shared || HEALTH.contains(&path) || (path == "/" && accept::prefers_page(request.headers()));
    !(is_open && matches!(*request.method(), Method::GET | Method::HEAD))
}

/// The answer to a request that is refused before the router sees it, as the router would have written it.
pub async fn refusal(settings: &Settings, request: Request, error: Error) -> Response {
    let response = shape(Family::of(request.uri().path()), error.into_response());
    let mut answer = Some(response);
    let routes = tower::service_fn(move |_: Request| {
        let answer = answer.take().unwrap_or_default();
        async move { Ok::<_, Infallible>(answer) }
    });
    let Ok(response) = settings.origins.layer().layer(routes).call(request).await;
    response
}

/// Who calls, as far as a key says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller(Option<Arc<Key>>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        // A route without the guard in front of it must not be open by accident.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Error::internal("the request was not checked"))
    }
}

impl Caller {
    /// [`Service::submit`], if the caller may use the model.
    pub(crate) async fn submit(self, service: &dyn Service, request: ImageRequest, priority: Priority) -> Result<Task> {
        service.submit(self.admit(request)?, priority).await
    }

    /// [`Service::run`], if the caller may use the model.
    pub(crate) async fn run(self, service: &dyn Service, request: ImageRequest) -> Result<Task> {
        service.run(self.admit(request)?).await
    }

    /// The name of the caller's session.
    pub(crate) fn session(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |key| key.name.clone())
    }

    /// The models that the caller may use.
    pub(crate) async fn models(&self, service: &dyn Service) -> Result<Vec<Model>> {
        let mut models = service.models().await?;
        if let Some(allowed) = self.0.as_ref().and_then(|key| key.models.as_ref()) {
            models.retain(|model| allowed.contains(&model.name));
        }
        Ok(models)
    }

    /// A key that may use certain models gets the first of them where a request names none.
    fn admit(&self, mut request: ImageRequest) -> Result<ImageRequest> {
        let Some(models) = self.0.as_ref().and_then(|key| key.models.as_ref()) else { return Ok(request) };
        let model = request.model.or_else(|| models.first().cloned()).unwrap_or_default();
        if !models.contains(&model) {
            return Err(Error::ModelNotAllowed { model, allowed: models.clone() });
        }
        request.model = Some(model);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::header;

    fn key(models: &[&str]) -> Caller {
        let models = Some(models.iter().map(|name| (*name).to_owned()).collect());
        Caller(Some(Arc::new(Key { models, ..Key::new("a", b"secret") })))
    }

    fn asking(model: Option<&str>) -> ImageRequest {
        ImageRequest { model: model.map(str::to_owned), ..ImageRequest::default() }
    }

    #[test]
    fn a_key_may_use_its_models_and_without_a_name_gets_the_first() {
        let limited = key(&["small", "large"]);
        assert_eq!(limited.admit(asking(Some("large"))).unwrap().model.as_deref(), Some("large"));
        assert_eq!(limited.admit(asking(None)).unwrap().model.as_deref(), Some("small"));
        let refused = limited.admit(asking(Some("other"))).unwrap_err();
        assert_eq!(refused.to_string(), "model: this key may not use \"other\"; it may use small, large");
        assert_eq!(Caller::default().admit(asking(None)).unwrap().model, None);
    }

    #[test]
    fn health_and_the_page_are_open_and_all_else_needs_a_key() {
        let needs = |method: &str, path: &str, accept: &str| {
            let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
            needs_key(&request.body(Body::empty()).unwrap())
        };
        assert!(!needs("GET", "/health", "*/*") && !needs("HEAD", "/health/ready", "*/*"));
        assert!(!needs("GET", "/", "text/html") && needs("GET", "/", "application/json"));
        assert!(needs("POST", "/health", "*/*"));
        assert!(!needs("GET", "/images/7/0af1", "*/*") && needs("DELETE", "/images/7/0af1", "*/*"));
        assert!(needs("GET", "/images/7", "*/*") && needs("GET", "/images/7/0af1/more", "*/*"));
        for path in ["/metrics", "/docs", "/openapi.json", "/images", "/health/", "/none"] {
            assert!(needs("GET", path, "text/html"), "{path}");
        }
    }
}
