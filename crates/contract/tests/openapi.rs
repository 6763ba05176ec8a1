//! The OpenAPI description matches the router, and contains the limits of the field types.

use easel_contract::openapi;
use serde_json::Value;

fn description() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

#[test]
fn what_is_served_is_the_description() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/openapi.json");
    let written = openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("EASEL_SNAPSHOTS").is_some() {
        return std::fs::write(file, written).unwrap();
    }
    let served = std::fs::read_to_string(file).unwrap().replace("\r\n", "\n");
    assert!(served == written, "assets/openapi.json is not up to date: EASEL_SNAPSHOTS=1 cargo test -p easel-contract");
}

#[test]
fn every_route_of_the_families_is_described() {
    let description = description();
    let mut routes: Vec<String> = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let expected = "DELETE /delete-tasks, DELETE /images/{id}, GET /, GET /docs, GET /generate-stream/{task_id}, GET /health, \
        GET /health/live, GET /health/ready, GET /images, GET /images/{id}, GET /images/{id}/{digest}, GET /info/models, GET /info/version, GET /metrics, GET /openapi.json, GET /pipeline/devices, GET /pipeline/image, \
        GET /pipeline/status, GET /sdapi/v1/cmd-flags, GET /sdapi/v1/embeddings, GET /sdapi/v1/face-restorers, \
        GET /sdapi/v1/hypernetworks, GET /sdapi/v1/latent-upscale-modes, GET /sdapi/v1/loras, GET /sdapi/v1/memory, \
        GET /sdapi/v1/options, GET /sdapi/v1/progress, GET /sdapi/v1/prompt-styles, GET /sdapi/v1/samplers, \
        GET /sdapi/v1/schedulers, GET /sdapi/v1/scripts, GET /sdapi/v1/sd-models, GET /sdapi/v1/sd-vae, \
        GET /sdapi/v1/upscalers, GET /status/{task_id}, GET /tasks, GET /v1/models, GET /v1/models/{id}, POST /api/adv/generate, POST /api/analyze, POST /api/generate, POST /api/v1/task/text-to-image, POST /cancel-generation, POST /generate, POST /imagine, \
        POST /pipeline/run, POST /pipeline/select-device, POST /sdapi/v1/img2img, POST /sdapi/v1/interrupt, \
        POST /sdapi/v1/options, POST /sdapi/v1/png-info, POST /sdapi/v1/skip, POST /sdapi/v1/txt2img, POST /v1/images/edits, POST /v1/images/generations";
    routes.sort();
    assert_eq!(routes.join(", "), expected);
}

/// What utoipa makes of an inlined type with a description beside it: nothing is both what the type says and an object.
#[test]
fn nothing_is_two_types_at_once() {
    fn check(value: &Value, path: &str) {
        if let Value::Array(parts) = &value["allOf"] {
            let says_nothing = |part: &Value| part["type"] == "object" && part["properties"].is_null();
            assert!(!parts.iter().any(says_nothing), "{path}: {value}");
        }
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, field)| check(field, &format!("{path}/{name}"))),
            Value::Array(items) => items.iter().for_each(|item| check(item, path)),
            _ => {}
        }
    }
    check(&description(), "");
}

#[test]
fn limits_come_from_the_types() {
    let description = description();
    let fields = &description["components"]["schemas"]["GenerateRequest"]["properties"];
    let has = |field: &str, key: &str, value: Value| {
        let schema = fields[field].to_string();
        assert!(schema.contains(&format!("\"{key}\":{value}")), "{field} has no {key} {value}: {schema}");
    };
    has("width", "minimum", 64.into());
    has("width", "maximum", 2048.into());
    has("width", "multipleOf", 8.into());
    has("steps", "maximum", 1000.into());
    has("prompt", "minLength", 1.into());
    has("seed", "format", "uint64".into());
    has("seed", "maximum", u64::MAX.into());
    let required = &description["components"]["schemas"]["GenerateRequest"]["required"];
    assert_eq!(*required, serde_json::json!(["prompt"]));
}

#[test]
fn f20_answers_that_any_request_may_get_are_described() {
    let description = description();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            let bodies = ["413", "415"].into_iter().filter(|_| operation.get("requestBody").is_some());
            for status in ["400", "401", "403", "421", "429", "500", "503"].into_iter().chain(bodies) {
                assert!(answers.contains_key(status), "{method} {path} has no {status}");
            }
        }
    }
    let stream = &description["paths"]["/generate-stream/{task_id}"]["get"]["responses"];
    assert!(stream["422"].is_object() && stream.to_string().contains("StreamEvent"), "{stream}");
    let event = description["components"]["schemas"]["StreamEvent"].to_string();
    assert!(event.contains("ProgressEvent") && event.contains("UnknownTaskEvent"), "{event}");
}

#[test]
fn keys_are_described_and_may_be_missing() {
    let description = description();
    let schemes = description["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes.keys().collect::<Vec<_>>(), ["basic", "bearer", "key"]);
    assert_eq!(description["security"], serde_json::json!([{}, { "bearer": [] }, { "basic": [] }, { "key": [] }]));
}

#[test]
fn every_reference_resolves() {
    let description = description();
    let mut references = Vec::new();
    collect(&description, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let target = description.pointer(reference.trim_start_matches('#'));
        assert!(target.is_some(), "{reference} is described nowhere");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
