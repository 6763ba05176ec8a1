//! The page that a browser gets at `/`, in front of the routes: the files that `cargo xtask web` makes.

use super::{Error, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use easel_contract::{Asset, prefers_page};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What `/` is to a browser.
const INDEX: &str = "index.html";

/// The headers that let a page's threads share memory.
const ISOLATION: [(&str, &str); 2] =
    [("cross-origin-opener-policy", "same-origin"), ("cross-origin-embedder-policy", "require-corp")];

/// The files of a page, in memory.
pub struct Site(HashMap<String, Asset>);

impl Site {
    /// Reads every file of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut found = HashMap::new();
        let mut open = vec![(folder.to_owned(), String::new())];
        while let Some((folder, prefix)) = open.pop() {
            let failed = |reason| Error::ReadSite { path: folder.clone(), reason };
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() {
                    open.push((entry.path(), format!("{name}/")));
                } else {
                    let read = std::fs::read(entry.path());
                    let bytes = read.map_err(|reason| Error::ReadSite { path: entry.path(), reason })?;
                    found.insert(name.clone(), Asset::new(media_type(&name), bytes));
                }
            }
        }
        Ok(Self(found))
    }

    /// The files that were compiled in.
    #[cfg(feature = "bundled")]
    pub fn bundled() -> Self {
        static DIST: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/../web/dist");
        let mut found = HashMap::new();
        let mut open = vec![&DIST];
        while let Some(folder) = open.pop() {
            open.extend(folder.dirs());
            for file in folder.files() {
                let name = file.path().to_string_lossy().replace('\\', "/");
                found.insert(name.clone(), Asset::new(media_type(&name), file.contents()));
            }
        }
        Self(found)
    }

    /// These files first, and the routes for everything else.
    pub fn before(self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(Arc::new(self), answer))
    }

    fn file(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<&Asset> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        match path.strip_prefix('/')? {
            "" => self.0.get(INDEX).filter(|_| prefers_page(headers)),
            name => self.0.get(name),
        }
    }
}

async fn answer(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let Some(file) = site.file(request.method(), request.uri().path(), request.headers()).cloned() else {
        return next.run(request).await;
    };
    let headers = request.into_parts().0.headers;
    // A module of some megabytes takes a while to compress.
    let answered = tokio::task::spawn_blocking(move || file.respond(&headers)).await;
    let mut response = answered.unwrap_or_else(|error| {
        tracing::error!(%error, "a file of the page could not be sent");
        easel_contract::Error::internal("the file could not be sent").into_response()
    });
    for (name, value) in ISOLATION {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// The media type by the file's extension; anything unknown is plain bytes.
fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{StatusCode, header};
    use tower::ServiceExt;

    fn router() -> Router {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("app")).unwrap();
        std::fs::write(folder.path().join(INDEX), "<h1>Easel</h1>").unwrap();
        std::fs::write(folder.path().join("app/main.js"), "draw();".repeat(100)).unwrap();
        Site::read(folder.path()).unwrap().before(Router::new().fallback(async || "routes"))
    }

    async fn get(path: &str, header: (HeaderName, &str)) -> (StatusCode, HeaderMap, String) {
        let request = Request::get(path).header(header.0, header.1).body(Body::empty()).unwrap();
        let (parts, body) = router().oneshot(request).await.unwrap().into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn a_browser_gets_the_page_and_everyone_else_the_routes() {
        let page = get("/", (header::ACCEPT, "text/html,*/*;q=0.8")).await;
        assert_eq!((page.0, page.2.as_str()), (StatusCode::OK, "<h1>Easel</h1>"));
        assert_eq!(page.1["cross-origin-embedder-policy"], "require-corp");
        assert_eq!(get("/", (header::ACCEPT, "application/json")).await.2, "routes");
        assert_eq!(get("/app/../Cargo.toml", (header::ACCEPT, "*/*")).await.2, "routes");
    }

    #[tokio::test]
    async fn files_are_typed_compressed_and_not_sent_twice() {
        let (_, headers, _) = get("/app/main.js", (header::ACCEPT_ENCODING, "gzip")).await;
        assert_eq!(headers[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        let etag = headers[header::ETAG].to_str().unwrap();
        assert_eq!(get("/app/main.js", (header::IF_NONE_MATCH, etag)).await.0, StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Site::read("/no/such/site".as_ref()).err().unwrap().to_string();
        assert!(error.starts_with("/no/such/site: "), "{error}");
    }
}
