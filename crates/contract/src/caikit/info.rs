//! The version of the runtime, and the models that requests may name.

use super::STUB;
use super::error::CaikitError;
use crate::App;
use crate::access::Caller;
use crate::extract::Query;
use crate::service::{Model, Module, Result, Service};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Easel's version, as the runtime's.
pub const RUNTIME_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The runtime.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CaikitRuntimeInfo)]
pub(crate) struct RuntimeInfo {
    runtime_version: &'static str,
    /// Always empty, as no package here is Python.
    python_packages: BTreeMap<String, String>,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = CaikitModelInfo)]
pub struct ModelInfo {
    /// Its name. Paths of this machine stay secret.
    pub model_path: String,
    /// The name that requests have for it.
    pub name: String,
    /// Bytes of its weights on the disk; 0 if unknown.
    pub size: u64,
    /// Its defaults, as far as they are known: `width`, `height`, `num_steps`.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub metadata: BTreeMap<&'static str, u32>,
    /// Whether it is in memory.
    pub loaded: bool,
    /// The kind of model.
    pub module_id: String,
    /// The name and version of this kind.
    pub module_metadata: ModuleMetadata,
}

/// The name and version of a kind of model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CaikitModuleMetadata)]
pub struct ModuleMetadata {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// Models.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CaikitModelsInfo)]
pub(crate) struct ModelsInfo {
    models: Vec<ModelInfo>,
}

/// A selection of models.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Selection {
    /// Only the models with these names; the field may be repeated.
    #[param(value_type = Option<Vec<String>>)]
    model_ids: Option<Ids>,
}

/// One id or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ids {
    One(String),
    Several(Vec<String>),
}

/// The models that a caller may use, loaded or not. With `ids`, only those with these names.
///
/// # Errors
/// Those of [`Service::models`].
pub async fn models(service: &dyn Service, caller: &Caller, ids: &[String]) -> Result<Vec<ModelInfo>> {
    let mut all = Vec::new();
    for model in caller.models(service).await? {
        if model.name == Model::STUB {
            all.push(described(Model { name: STUB.to_owned(), ..model.clone() }));
        }
        all.push(described(model));
    }
    all.retain(|model| ids.is_empty() || ids.contains(&model.name));
    Ok(all)
}

fn described(model: Model) -> ModelInfo {
    let Module { id, name, version } = module(&model);
    let metadata = [("width", model.width), ("height", model.height), ("num_steps", model.steps)];
    ModelInfo {
        model_path: model.name.clone(),
        name: model.name,
        size: model.bytes.unwrap_or_default(),
        metadata: metadata.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        loaded: model.loaded,
        module_id: id,
        module_metadata: ModuleMetadata { name, version },
    }
}

/// The kind of a model as its folder says, or else this program's own kind.
pub(super) fn module(model: &Model) -> Module {
    let own = || Module { id: "easel".into(), name: "easel".into(), version: RUNTIME_VERSION.into() };
    model.module.clone().unwrap_or_else(own)
}

/// Show the version of the runtime.
#[utoipa::path(get, path = "/info/version", tag = "caikit", responses((status = 200, body = RuntimeInfo)))]
pub(crate) async fn version() -> Json<RuntimeInfo> {
    Json(RuntimeInfo { runtime_version: RUNTIME_VERSION, python_packages: BTreeMap::new() })
}

/// List the models that the key may use.
#[utoipa::path(get, path = "/info/models", tag = "caikit", params(Selection),
    responses((status = 200, body = ModelsInfo), (status = 422, body = CaikitError)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(selection): Query<Selection>,
) -> Result<Json<ModelsInfo>> {
    let ids = match selection.model_ids {
        None => Vec::new(),
        Some(Ids::One(id)) => vec![id],
        Some(Ids::Several(ids)) => ids,
    };
    Ok(Json(ModelsInfo { models: models(&*app.service, &caller, &ids).await? }))
}
