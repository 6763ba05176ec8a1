//! The description says what the router does, and carries the limits of the field types.

use easel_contract::openapi;
use serde_json::Value;

fn description() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

#[test]
fn every_route_of_the_families_is_described() {
    let description = description();
    let mut routes: Vec<String> = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let expected = "DELETE /delete-tasks, DELETE /images/{id}, GET /, GET /docs, GET /generate-stream/{task_id}, GET /health, \
        GET /images, GET /images/{id}, GET /metrics, GET /openapi.json, GET /pipeline/devices, GET /pipeline/image, \
        GET /pipeline/status, GET /status/{task_id}, GET /tasks, POST /cancel-generation, POST /generate, POST /imagine, \
        POST /pipeline/run, POST /pipeline/select-device";
    routes.sort();
    assert_eq!(routes.join(", "), expected);
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
    let required = &description["components"]["schemas"]["GenerateRequest"]["required"];
    assert_eq!(*required, serde_json::json!(["prompt"]));
}

#[test]
fn every_reference_leads_somewhere() {
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
