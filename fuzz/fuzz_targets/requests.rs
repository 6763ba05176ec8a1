//! Untrusted requests: any body or query, to every route that takes one, through the router.

#![no_main]

use axum::body::Body;
use axum::http::{Request, header};
use easel_contract::router;
use easel_transcripts::{MemoryService, Setup};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Builder;
use tower::ServiceExt;

/// The routes, selected by the first byte.
const ROUTES: [(&str, &str); 8] = [
    ("POST", "/generate"),
    ("POST", "/imagine"),
    ("POST", "/pipeline/run"),
    ("POST", "/pipeline/select-device"),
    ("POST", "/cancel-generation"),
    ("DELETE", "/delete-tasks"),
    ("GET", "/tasks"),
    ("GET", "/images"),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let (method, path) = ROUTES[usize::from(*first) % ROUTES.len()];
    // Half of the requests use the rest as a query, if it is text.
    let as_query = first & 0x80 != 0;
    let query = std::str::from_utf8(rest).ok().filter(|_| as_query).unwrap_or_default();
    let body = if as_query { Body::empty() } else { Body::from(rest.to_vec()) };
    let request = Request::builder().method(method).uri(format!("{path}?{query}"));
    let Ok(request) = request.header(header::CONTENT_TYPE, "application/json").body(body) else { return };
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let status = runtime.block_on(async {
        // A service that is shutting down checks everything and draws nothing.
        let setup = Setup { stopping: true, ..Setup::default() };
        let router = router(MemoryService::start(&setup), MemoryService::settings(&setup));
        router.oneshot(request).await.map(|answer| answer.status().as_u16())
    });
    assert!(status.is_ok_and(|status| status < 500 || status == 503), "{status:?}");
});
