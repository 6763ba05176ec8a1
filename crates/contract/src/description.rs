//! The description of the interface (OpenAPI 3.1): the descriptions of the routes, and the answers that any request may
//! get.

use crate::family::Family;
use crate::{a1111, analysis, caikit, imagine, openai, run, site, task};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{Components, ObjectBuilder, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

/// Answers that any request may get, besides those that its route describes.
const ANY: [(&str, &str); 6] = [
    ("400", "the header host or the body is malformed"),
    ("401", "the server has keys, and the request carries no valid one"),
    ("403", "a foreign page, or a model that the key may not use"),
    ("421", "the request's host is not a name of this server"),
    ("429", "the key has sent too many requests"),
    ("500", "an internal error"),
];

/// The answer of a busy service to any request that needs it.
const BUSY: (&str, &str) = ("503", "shutting down, or too many requests at once");

/// Answers that any request with a body may get.
const WITH_BODY: [(&str, &str); 2] = [("413", "the body is too long"), ("415", "the body is not sent as JSON")];

#[derive(OpenApi)]
#[openapi(info(
    title = "Easel",
    description = "Text to image. Tasks are submitted, watched and fetched; a run is a single task for simple clients.",
    license(name = "MIT OR Apache-2.0")
))]
struct Description;

/// The description of every route, from the types that they read and write.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut all = Description::openapi();
    all.merge(run::Description::openapi());
    all.merge(task::Description::openapi());
    all.merge(imagine::Description::openapi());
    all.merge(openai::Description::openapi());
    all.merge(a1111::Description::openapi());
    all.merge(caikit::Description::openapi());
    all.merge(analysis::Description::openapi());
    all.merge(site::Description::openapi());
    for (path, item) in &mut all.paths.paths {
        let operations = [&mut item.get, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete(operation, Family::of(path));
            operation.responses.responses.values_mut().for_each(frame_events);
        }
    }
    describe_keys(&mut all);
    all
}

/// Adds the answers that a route does not describe itself.
fn complete(operation: &mut Operation, family: Family) {
    let with_body = WITH_BODY.iter().filter(|_| operation.request_body.is_some());
    for (status, description) in ANY.iter().chain([&BUSY]).chain(with_body) {
        let error = Content::new(Some(Ref::from_schema_name(family.schema())));
        let response = ResponseBuilder::new().description(*description).content("application/json", error);
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(|| response.build().into());
    }
}

/// Routes describe what an event's data says; the description says that this is JSON in the field `data` of an event.
fn frame_events(response: &mut RefOr<Response>) {
    let RefOr::T(response) = response else { return };
    let Some(RefOr::T(content)) = response.content.get_mut("text/event-stream") else { return };
    let data = ObjectBuilder::new()
        .schema_type(Type::String)
        .content_media_type("application/json")
        .content_schema(content.schema.take());
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let event = ObjectBuilder::new()
        .description(Some("One event of the stream (WHATWG HTML, section 9.2)."))
        .property("data", data)
        .property("event", text())
        .property("id", text())
        .required("data");
    content.schema = Some(event.into());
}

/// A key may be sent in three ways. A server without keys needs none.
fn describe_keys(all: &mut utoipa::openapi::OpenApi) {
    let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
    let components = all.components.get_or_insert_with(Components::new);
    components.add_security_scheme("bearer", http(HttpAuthScheme::Bearer));
    components.add_security_scheme("basic", http(HttpAuthScheme::Basic));
    components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key"))));
    let ways = ["bearer", "basic", "key"].map(|name| SecurityRequirement::new(name, [""; 0]));
    all.security = Some([SecurityRequirement::default()].into_iter().chain(ways).collect());
}
