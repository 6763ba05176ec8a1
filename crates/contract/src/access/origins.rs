//! The web pages that may send requests. CORS tells browsers which pages may read answers. Requests from other pages
//! are refused if they would change something or if the browser marks them as cross-site.

use super::authority;
use crate::Error;
use crate::accept::prefers_page;
use crate::error::ERROR_CODE;
use crate::origin::REQUEST_ID;
use crate::service::Result;
use crate::wire::SEED;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// The pages that links on any site may open.
const PAGES: [&str; 2] = ["/", "/docs"];

/// The one GET that changes something: it takes the picture, and the next client finds none.
const TAKES: &str = "/pipeline/image";

/// The header of the Model Context Protocol's sessions.
const MCP_SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// The web origins whose pages may send requests (CORS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Pages served by this machine, on any port.
    #[default]
    Localhost,
    /// All pages.
    Any,
    /// Only these origins, such as `https://example.org`.
    List(Vec<String>),
}

/// `localhost`, `*`, or origins separated by commas.
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

/// As [`FromStr`] reads it.
impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Localhost => f.write_str("localhost"),
            Self::Any => f.write_str("*"),
            Self::List(list) => f.write_str(&list.join(",")),
        }
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

    /// Refuses a request from a foreign page. It looks at headers that only browsers send, so programs always pass.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<()> {
        let headers = request.headers();
        let site = text(headers, "sec-fetch-site");
        // The browser sets this header and no page can change it: it is our own page, or a person at the address bar.
        if matches!(site, Some("same-origin" | "none")) || *self == Self::Any {
            return Ok(());
        }
        let is_foreign = matches!(site, Some("cross-site" | "same-site"));
        let origin = text(headers, "origin").map(str::to_owned);
        let is_change = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        // For an `<img>` only `referer` names the page, and browsers send no Fetch Metadata to addresses without TLS.
        let page = origin.clone().or_else(|| origin_of(text(headers, "referer")?));
        let takes = request.method() == Method::GET && request.uri().path() == TAKES && page.is_some();
        let is_suspect = is_foreign || takes || (is_change && origin.is_some());
        if !is_suspect || (!is_change && opens_page(request)) {
            return Ok(());
        }
        let own = authority(request.uri(), headers)?;
        let is_allowed = |page: &str| self.allow(page) || own.is_some_and(|own| is_same(page, &own));
        match page {
            Some(page) if is_allowed(&page) => Ok(()),
            page => Err(Error::PageNotAllowed { origin: page.unwrap_or_else(|| "an unknown page".to_owned()) }),
        }
    }

    pub(crate) fn layer(&self) -> CorsLayer {
        let origins = self.clone();
        let allow = move |origin: &HeaderValue, _: &Parts| origin.to_str().is_ok_and(|origin| origins.allow(origin));
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(allow))
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            // Clients add headers of their own: OpenAI's package sends `x-stainless-*`.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([
                header::CONTENT_RANGE,
                header::ETAG,
                header::RETRY_AFTER,
                SEED,
                ERROR_CODE,
                MCP_SESSION,
                REQUEST_ID,
            ])
            .max_age(Duration::from_secs(3600))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether a browser opens one of our pages in a tab.
fn opens_page<B>(request: &Request<B>) -> bool {
    let is_tab = text(request.headers(), "sec-fetch-dest") == Some("document");
    is_tab && prefers_page(request.headers()) && PAGES.contains(&request.uri().path())
}

/// The origin of a page's address.
fn origin_of(page: &str) -> Option<String> {
    let uri: Uri = page.parse().ok()?;
    Some(format!("{}://{}", uri.scheme()?, uri.authority()?))
}

/// Whether a page comes from the server that it calls. The scheme is not compared: a proxy may have added TLS.
fn is_same(page: &str, own: &Authority) -> bool {
    let Some((scheme, Ok(page))) = page.split_once("://").map(|(scheme, rest)| (scheme, rest.parse::<Authority>()))
    else {
        return false;
    };
    let default_port = if scheme == "https" { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    page.host().eq_ignore_ascii_case(own.host()) && port(&page) == port(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_pass_and_look_alikes_do_not() {
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
        assert_eq!(list.to_string().parse(), Ok(list));
    }

    /// Whether a request with these headers may call a server at 192.168.1.7:8100.
    fn may(method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        let request = Request::builder().method(method).uri(path).header("host", "192.168.1.7:8100");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Origins::Localhost.check(&request.body(()).unwrap()).is_ok()
    }

    const FOREIGN: (&str, &str) = ("sec-fetch-site", "cross-site");

    #[test]
    fn f7_requests_of_foreign_pages_are_refused() {
        for origin in ["https://evil.example", "null", "http://192.168.1.7", "http://192.168.1.7:3000"] {
            assert!(!may("POST", "/generate", &[("origin", origin)]), "{origin}");
            assert!(!may("DELETE", "/delete-tasks", &[("origin", origin), FOREIGN]), "{origin}");
            assert!(!may("GET", "/tasks", &[("origin", origin), FOREIGN]), "{origin}");
        }
        // An <img>, a form, a script or a frame without an origin.
        assert!(!may("GET", "/pipeline/image", &[FOREIGN]));
        assert!(!may("GET", "/images/1", &[FOREIGN, ("referer", "https://evil.example/")]));
        assert!(!may("GET", "/pipeline/image", &[("referer", "http://evil.example/")]));
        assert!(!may("GET", "/", &[FOREIGN, ("accept", "text/html"), ("sec-fetch-dest", "iframe")]));
        assert!(!may("GET", "/tasks", &[FOREIGN, ("accept", "text/html"), ("sec-fetch-dest", "document")]));
        assert!(!may("POST", "/", &[FOREIGN, ("accept", "text/html"), ("sec-fetch-dest", "document")]));
    }

    #[test]
    fn programs_own_pages_links_and_allowed_pages_pass() {
        assert!(may("POST", "/generate", &[]));
        assert!(may("POST", "/generate", &[("origin", "http://192.168.1.7:8100")]));
        assert!(may("POST", "/generate", &[("origin", "null"), ("sec-fetch-site", "same-origin")]));
        assert!(may("GET", "/tasks", &[("sec-fetch-site", "none")]));
        assert!(may("GET", "/pipeline/image", &[]));
        assert!(may("GET", "/pipeline/image", &[("referer", "http://192.168.1.7:8100/")]));
        assert!(may("GET", "/", &[FOREIGN, ("accept", "text/html"), ("sec-fetch-dest", "document")]));
        assert!(may("POST", "/generate", &[("origin", "http://localhost:3000"), FOREIGN]));
        assert!(may("GET", "/images/1", &[FOREIGN, ("referer", "http://localhost:3000/gallery?page=2")]));
        // A browser without Fetch Metadata hides the answer from the page.
        assert!(may("GET", "/tasks", &[("origin", "https://evil.example")]));
    }

    #[test]
    fn the_default_port_may_be_left_out() {
        let same = |page, own: &str| is_same(page, &own.parse().unwrap());
        assert!(same("https://draw.example", "draw.example") && same("https://draw.example", "Draw.example:443"));
        assert!(same("http://draw.example:80", "draw.example") && !same("http://draw.example", "draw.example:8100"));
        assert!(!same("null", "draw.example") && !same("https://draw.example/", "other.example"));
    }
}
