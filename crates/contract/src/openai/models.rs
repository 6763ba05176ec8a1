//! `GET /v1/models`: the models that a caller may name.

use super::error::OpenAiError;
use crate::access::Caller;
use crate::extract::ModelId;
use crate::service::{Model, Result};
use crate::{App, Error};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// A model.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModel)]
pub(crate) struct Entry {
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    /// Always 0, as it is unknown.
    created: u64,
    #[schema(example = "easel")]
    owned_by: &'static str,
    easel: Details,
}

/// What this server says of a model besides; `null` is what it does not know.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelDetails)]
pub(crate) struct Details {
    /// Whether it is in memory. If not, the first request for it loads it.
    loaded: bool,
    /// Bytes of its weights on the disk.
    size: Option<u64>,
    /// Bytes of memory that it takes at most, as planned for a picture of its own size on the processor.
    memory: Option<u64>,
    /// Pixels of a picture if no size is asked for.
    width: Option<u32>,
    height: Option<u32>,
    /// Denoising steps if none are asked for.
    steps: Option<u32>,
}

impl From<Model> for Entry {
    fn from(model: Model) -> Self {
        let Model { name, width, height, steps, bytes, memory, loaded, .. } = model;
        let easel = Details { loaded, size: bytes, memory, width, height, steps };
        Self { id: name, object: "model", created: 0, owned_by: "easel", easel }
    }
}

/// The models.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModels)]
pub(crate) struct Entries {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Entry>,
}

/// List the models that the key may use.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses((status = 200, body = Entries)))]
pub(crate) async fn models(State(app): State<App>, caller: Caller) -> Result<Json<Entries>> {
    let models = caller.models(&*app.service).await?;
    Ok(Json(Entries { object: "list", data: models.into_iter().map(Entry::from).collect() }))
}

/// One model.
#[utoipa::path(get, path = "/v1/models/{id}", tag = "openai", params(("id" = String, Path)),
    responses((status = 200, body = Entry), (status = 404, body = OpenAiError, description = "no such model")))]
pub(crate) async fn model(State(app): State<App>, caller: Caller, ModelId(id): ModelId) -> Result<Json<Entry>> {
    let models = caller.models(&*app.service).await?;
    let found = models.into_iter().find(|model| model.name == id);
    found.map(|model| Json(model.into())).ok_or(Error::ModelNotFound { model: id })
}
