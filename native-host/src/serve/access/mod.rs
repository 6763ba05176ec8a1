//! The parts of access control that the router cannot do: requests that do not name the server, key files that change,
//! and limits on the rate and concurrency of keys. The rest is `easel_contract::access`.

mod admin;
mod key_file;
#[cfg(feature = "component")]
mod keyed;
mod policy;
mod quotas;
mod watched;

pub(super) use admin::{Part, only};
pub use key_file::{append_key, follow_keys, key_entry, random_key};
pub(super) use key_file::{read_keys, warn_if_others_may_read};
#[cfg(feature = "component")]
pub(super) use keyed::Keyed;
pub(super) use quotas::Quotas;
pub(super) use watched::follow;

use super::Config;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::Version;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use easel_contract::access::{SourceChecked, authority, check_source};
use easel_contract::{Error, Settings};
use std::sync::Arc;

/// Refuses requests that name another server or none, and those of foreign pages, in front of all routes. A component
/// refuses them too; the page's files are protected only by this.
pub fn guarded(routes: Router, config: &Config) -> Router {
    routes.layer(from_fn_with_state(Arc::new(config.settings()), guard))
}

async fn guard(State(settings): State<Arc<Settings>>, mut request: Request, next: Next) -> Response {
    match is_named(&request).and_then(|()| check_source(&settings, &request)) {
        Ok(()) => {
            request.extensions_mut().insert(SourceChecked);
            next.run(request).await
        }
        Err(error) => refusal(&settings, request, error).await,
    }
}

/// The answer to a request that is refused in front of the routes, in the form that its client reads.
pub(super) async fn refusal(settings: &Settings, request: Request, error: Error) -> Response {
    #[cfg(feature = "grpc")]
    if super::grpc::is_call(&request) {
        return super::grpc::status(&error).into_http();
    }
    easel_contract::access::refusal(settings, request, error).await
}

/// HTTP/1.1 and later must name the server (RFC 9112, section 3.2).
fn is_named(request: &Request) -> Result<(), Error> {
    match authority(request.uri(), request.headers())? {
        None if request.version() >= Version::HTTP_11 => Err(Error::InvalidHost { reason: "it is missing" }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{StatusCode, header};
    use tower::ServiceExt;

    async fn status(version: Version, hosts: &[&str]) -> StatusCode {
        let router = guarded(Router::new().fallback(async || "routes"), &Config::default());
        let request = Request::get("/tasks").version(version);
        let request = hosts.iter().fold(request, |request, host| request.header(header::HOST, *host));
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn f20_a_request_names_the_server_once() {
        assert_eq!(status(Version::HTTP_11, &["localhost"]).await, StatusCode::OK);
        assert_eq!(status(Version::HTTP_11, &[]).await, StatusCode::BAD_REQUEST);
        assert_eq!(status(Version::HTTP_11, &["localhost", "localhost"]).await, StatusCode::BAD_REQUEST);
        assert_eq!(status(Version::HTTP_10, &[]).await, StatusCode::OK);
        assert_eq!(status(Version::HTTP_2, &["localhost"]).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn f7_the_page_is_not_served_under_a_rebound_name() {
        assert_eq!(status(Version::HTTP_11, &["evil.example"]).await, StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(status(Version::HTTP_10, &["evil.example"]).await, StatusCode::MISDIRECTED_REQUEST);
    }
}
