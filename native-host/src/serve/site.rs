//! The page at `/`, in front of the routes: the files made by `cargo xtask web`.
//!
//! A folder is read once, at the start. Only regular files are served: none whose name begins with a dot or is a
//! route's, and no links out of the folder. The log names the others. There are no listings, and the path of a request
//! is only looked up among the names.

use super::{Error, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use easel_contract::{Asset, prefers_page};
use percent_encoding::percent_decode_str;
use std::collections::HashMap;
use std::fs::{DirEntry, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

/// The file for `/`.
const INDEX: &str = "index.html";

/// The headers that let a page's workers share memory.
const ISOLATION: [(&str, &str); 2] =
    [("cross-origin-opener-policy", "same-origin"), ("cross-origin-embedder-policy", "require-corp")];

/// The files of a page, in memory.
pub struct Site {
    files: HashMap<String, Asset>,
    /// What the page is told about the server.
    offer: Option<HeaderValue>,
}

impl Site {
    /// Reads every file of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let root = folder.canonicalize().map_err(failed(folder))?;
        let routes: Vec<String> = easel_contract::openapi().paths.paths.into_keys().collect();
        let mut found = HashMap::new();
        let mut open = vec![(root.clone(), String::new())];
        while let Some((folder, prefix)) = open.pop() {
            for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
                let entry = entry.map_err(failed(&folder))?;
                let path = entry.path();
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if let Some(reason) = unfit(&entry, &root).or_else(|| shadowed(&name, &routes)) {
                    tracing::warn!(path = %path.display(), reason, "left out of the site");
                } else if path.is_dir() {
                    open.push((path, format!("{name}/")));
                } else if let Some(bytes) = contents(&path).map_err(failed(&path))? {
                    found.insert(name.clone(), Asset::new(media_type(&name), bytes));
                } else {
                    tracing::warn!(path = %path.display(), reason = "not a file", "left out of the site");
                }
            }
        }
        Ok(Self { files: found, offer: None })
    }

    /// The built-in files.
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
        Self { files: found, offer: None }
    }

    /// The same files with what [`offer`](super::offer()) says.
    pub fn with_offer(self, offer: Option<HeaderValue>) -> Self {
        Self { offer, ..self }
    }

    /// Serves these files, and the routes for everything else.
    pub fn before(self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(Arc::new(self), answer))
    }

    fn file(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<&Asset> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        match path.strip_prefix('/')? {
            "" => self.files.get(INDEX).filter(|_| prefers_page(headers)),
            name => self.files.get(&*percent_decode_str(name).decode_utf8().ok()?),
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    |reason| Error::ReadSite { path: path.to_owned(), reason }
}

/// Why an entry of a folder is not served.
fn unfit(entry: &DirEntry, root: &Path) -> Option<&'static str> {
    if entry.file_name().as_encoded_bytes().starts_with(b".") {
        return Some("its name begins with a dot");
    }
    if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
        return None;
    }
    match entry.path().canonicalize() {
        // Links to folders could form a cycle, and the folder itself is read anyway.
        Ok(target) if target.starts_with(root) && !target.is_dir() => None,
        Ok(_) => Some("a link out of the folder, or to a folder"),
        Err(_) => Some("a link to nothing"),
    }
}

/// Why a file is hidden by a route of the interface, if it is.
fn shadowed(name: &str, routes: &[String]) -> Option<&'static str> {
    let path = format!("/{name}");
    let fits = |route: &String| {
        let alike = |(own, other): (&str, &str)| own == other || own.starts_with('{');
        route.split('/').count() == path.split('/').count() && route.split('/').zip(path.split('/')).all(alike)
    };
    (path == easel_contract::calls::PATH || routes.iter().any(fits)).then_some("a route has this name")
}

/// The bytes of a regular file; `None` for anything else. Opening a pipe does not wait for its other end.
fn contents(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    // Opening a device may have side effects.
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

async fn answer(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let Some(file) = site.file(request.method(), request.uri().path(), request.headers()).cloned() else {
        return next.run(request).await;
    };
    let offer = site.offer.clone();
    let headers = request.into_parts().0.headers;
    // A module of several megabytes takes a while to compress.
    let answered = tokio::task::spawn_blocking(move || file.respond(&headers)).await;
    let mut response = answered.unwrap_or_else(|error| {
        tracing::error!(%error, "a file of the page could not be sent");
        easel_contract::Error::internal("the file could not be sent").into_response()
    });
    for (name, value) in ISOLATION {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    if let Some(offer) = offer {
        response.headers_mut().insert(HeaderName::from_static(super::offer::HEADER), offer);
    }
    response
}

/// The media type for the file's extension; bytes if it is unknown.
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
        let offer = Some(HeaderValue::from_static(r#"{"name":"m"}"#));
        Site::read(folder.path()).unwrap().with_offer(offer).before(Router::new().fallback(async || "routes"))
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
        assert_eq!(page.1["x-easel-draws"], r#"{"name":"m"}"#);
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

    #[cfg(unix)]
    #[test]
    fn f20_only_intended_files_are_served() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("site").join(name);
        std::fs::create_dir_all(path("images")).unwrap();
        std::fs::create_dir(path(".git")).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        for name in ["a b.txt", ".env", ".git/config", "health", "images/7", "images/more.txt", "index.html"] {
            std::fs::write(path(name), "file").unwrap();
        }
        symlink(folder.path().join("secret"), path("outside.txt")).unwrap();
        symlink(folder.path(), path("above")).unwrap();
        symlink(path("a b.txt"), path("inside.txt")).unwrap();
        symlink("nowhere", path("dangling.txt")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(pipe.success());

        let site = Site::read(&path("")).unwrap();
        let mut names: Vec<&str> = site.files.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["a b.txt", "index.html", "inside.txt"]);
        let found = |path: &str| site.file(&Method::GET, path, &HeaderMap::new()).is_some();
        assert!(found("/a%20b.txt") && found("/inside%2etxt"));
        assert!(!found("/..%2fsecret") && !found("/%ff") && !found("/.env"));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Site::read("/no/such/site".as_ref()).err().unwrap().to_string();
        assert!(error.starts_with("/no/such/site: "), "{error}");
    }
}
