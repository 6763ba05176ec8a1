//! What a deployment decides about the interface.

use crate::error::ERROR_CODE;
use crate::wire::SEED;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, header};
use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// What a deployment decides about the interface.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose pages may call.
    pub origins: Origins,
    /// The longest body in bytes.
    pub body_limit: usize,
}

impl Default for Settings {
    /// Pages of this machine, 32 MiB.
    fn default() -> Self {
        Self { origins: Origins::Localhost, body_limit: 32 << 20 }
    }
}

/// The web origins whose pages may call (CORS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages that this machine serves, on any port.
    #[default]
    Localhost,
    /// Every page.
    Any,
    /// These, as `https://example.org`.
    List(Vec<String>),
}

/// `localhost`, `*`, or origins between commas.
impl FromStr for Origins {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.trim() {
            "localhost" | "" => Self::Localhost,
            "*" => Self::Any,
            list => Self::List(list.split(',').map(|origin| origin.trim().trim_end_matches('/').to_owned()).collect()),
        })
    }
}

impl Origins {
    fn allow(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(list) => list.iter().any(|allowed| allowed == origin),
            Self::Localhost => {
                ["http://", "https://"].iter().filter_map(|scheme| origin.strip_prefix(scheme)).any(|authority| {
                    let host = match authority.rsplit_once(':') {
                        Some((host, port)) if port.parse::<u16>().is_ok() => host,
                        _ => authority,
                    };
                    matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
                })
            }
        }
    }

    pub(crate) fn layer(&self) -> CorsLayer {
        let origins = self.clone();
        let allow = move |origin: &HeaderValue, _: &Parts| origin.to_str().is_ok_and(|origin| origins.allow(origin));
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(allow))
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            .allow_headers([
                header::ACCEPT,
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_NONE_MATCH,
                header::RANGE,
                HeaderName::from_static("last-event-id"),
            ])
            .expose_headers([header::CONTENT_RANGE, header::ETAG, header::RETRY_AFTER, SEED, ERROR_CODE])
            .max_age(Duration::from_secs(3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_may_call_and_look_alikes_may_not() {
        let allowed = |origin: &str| Origins::Localhost.allow(origin);
        let own = ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8100", "http://app.localhost"];
        assert!(own.into_iter().all(allowed));
        let foreign = ["http://localhost.example.org", "http://example.org:80", "null", "ftp://localhost"];
        assert!(!foreign.into_iter().any(allowed));
    }

    #[test]
    fn origins_are_read_from_one_text() {
        assert_eq!(" localhost".parse(), Ok(Origins::Localhost));
        assert_eq!("*".parse(), Ok(Origins::Any));
        let list: Origins = "https://a.example, https://b.example/".parse().unwrap();
        assert!(list.allow("https://b.example") && !list.allow("https://c.example"));
    }
}
