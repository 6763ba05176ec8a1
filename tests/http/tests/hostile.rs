//! Malformed requests: each gets an answer, and never a 5xx.

use axum::body::Body;
use easel_contract::router;
use easel_transcripts::{MemoryService, Setup};
use http::{Request, header};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

const PATHS: [&str; 14] = [
    "/generate",
    "/pipeline/run",
    "/pipeline/select-device",
    "/cancel-generation",
    "/imagine",
    "/v1/images/generations",
    "/v1/images/edits",
    "/sdapi/v1/txt2img",
    "/sdapi/v1/img2img",
    "/sdapi/v1/options",
    "/sdapi/v1/png-info",
    "/api/generate",
    "/api/analyze",
    "/api/adv/generate",
];
const FIELDS: [&str; 36] = [
    "prompt",
    "width",
    "height",
    "H",
    "W",
    "steps",
    "num_inference_steps",
    "ddim_steps",
    "seed",
    "guidance_scale",
    "priority",
    "device",
    "task_id",
    "init_image",
    "n",
    "size",
    "quality",
    "stream",
    "partial_images",
    "image",
    "images",
    "mask",
    "init_images",
    "cfg_scale",
    "sampler_name",
    "scheduler",
    "batch_size",
    "enable_hr",
    "hr_scale",
    "hr_resize_x",
    "hr_second_pass_steps",
    "denoising_strength",
    "alwayson_scripts",
    "override_settings",
    "texts",
    "roi",
];

/// A value of any type, often at the edge of the accepted range.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0u64..300).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!([[{"a": []}]])),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let object = prop::collection::vec((prop::sample::select(&FIELDS[..]), value()), 0..6).prop_map(|fields| {
        let fields: Map<String, Value> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Value::Object(fields).to_string().into_bytes()
    });
    prop_oneof![4 => object, 1 => prop::collection::vec(any::<u8>(), 0..60)]
}

/// The status of an answer. The body is not awaited, because an accepted `/imagine` takes some time.
fn status(request: Request<Body>) -> Option<u16> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let setup = Setup::default();
        let router = router(MemoryService::start(&setup), MemoryService::settings(&setup));
        let answer = tokio::time::timeout(std::time::Duration::from_secs(60), router.oneshot(request)).await;
        answer.ok().map(|answer| answer.unwrap().status().as_u16())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bodies(path in prop::sample::select(&PATHS[..]), body in body()) {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap();
        let status = status(request);
        prop_assert!(status.is_some_and(|status| status < 500), "{status:?}");
    }

    #[test]
    fn forms(body in "(--xy|\r\n|: |; name=\"[a-z]{0,3}|\"|content-disposition|[ -~é]{0,9}){0,20}") {
        let request = Request::post("/v1/images/edits").header(header::CONTENT_TYPE, "multipart/form-data; boundary=xy");
        let status = status(request.body(body.into()).unwrap());
        prop_assert!(status.is_some_and(|status| status < 500), "{status:?}");
    }

    #[test]
    fn queries(
        path in prop::sample::select(&["/tasks", "/images", "/images/1", "/generate-stream/x", "/status/%ff"][..]),
        query in "[a-z=&%0-9+,]{0,40}",
        range in "(bytes=)?[0-9,-]{0,20}",
    ) {
        let request = Request::get(format!("{path}?limit={query}")).header(header::RANGE, range);
        let request = request.body(Body::empty()).unwrap();
        let status = status(request);
        prop_assert!(status.is_some_and(|status| status < 500), "{status:?}");
    }
}
