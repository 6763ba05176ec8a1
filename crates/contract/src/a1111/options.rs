//! The options of the session: the model for requests that name none.

use super::WebUiError;
use crate::access::Caller;
use crate::extract::JsonBody;
use crate::field::Name;
use crate::service::{Model, Result};
use crate::{App, Error};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The options that Easel has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebUiOptions)]
pub(crate) struct Options {
    /// The model, by its title.
    sd_model_checkpoint: String,
    sd_checkpoint_hash: Option<String>,
    sd_vae: &'static str,
    samples_format: &'static str,
    #[serde(rename = "CLIP_stop_at_last_layers")]
    clip_stop_at_last_layers: u8,
}

/// Options to change. Unknown ones are ignored, because clients send back the whole list that they received.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WebUiNewOptions)]
pub(crate) struct NewOptions {
    /// The new model.
    #[schema(inline)]
    sd_model_checkpoint: Option<Name>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebUiModel)]
pub(crate) struct Entry {
    title: String,
    model_name: String,
    hash: Option<String>,
    sha256: Option<String>,
    filename: String,
    config: Option<String>,
}

impl From<Model> for Entry {
    fn from(model: Model) -> Self {
        let name = model.name;
        Self { title: name.clone(), model_name: name.clone(), hash: None, sha256: None, filename: name, config: None }
    }
}

/// List the models that the key may use.
#[utoipa::path(get, path = "/sdapi/v1/sd-models", tag = "sdapi", responses((status = 200, body = Vec<Entry>)))]
pub(crate) async fn models(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Entry>>> {
    let models = caller.models(&*app.service).await?;
    Ok(Json(models.into_iter().map(Entry::from).collect()))
}

/// The options of the session.
#[utoipa::path(get, path = "/sdapi/v1/options", tag = "sdapi", responses((status = 200, body = Options)))]
pub(crate) async fn options(State(app): State<App>, caller: Caller) -> Result<Json<Options>> {
    let session = app.service.session(caller.session()).await?;
    let models = caller.models(&*app.service).await?;
    let first = || models.into_iter().next().map(|model| model.name);
    Ok(Json(Options {
        sd_model_checkpoint: session.model.or_else(first).unwrap_or_default(),
        sd_checkpoint_hash: None,
        sd_vae: "Automatic",
        samples_format: "png",
        clip_stop_at_last_layers: 1,
    }))
}

/// Choose another model for the session.
#[utoipa::path(post, path = "/sdapi/v1/options", tag = "sdapi", request_body = NewOptions,
    responses((status = 200, body = (), description = "null"),
              (status = 404, body = WebUiError, description = "no such model"), (status = 422, body = WebUiError)))]
pub(crate) async fn set_options(
    State(app): State<App>,
    caller: Caller,
    JsonBody(options): JsonBody<NewOptions>,
) -> Result<Json<()>> {
    if let Some(model) = options.sd_model_checkpoint {
        let model = model.into_inner();
        let known = caller.models(&*app.service).await?;
        if !known.iter().any(|known| known.name == model) {
            return Err(Error::ModelNotFound { model });
        }
        app.service.select_model(caller.session(), model).await?;
    }
    Ok(Json(()))
}
