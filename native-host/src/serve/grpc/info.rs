//! `caikit.runtime.info.InfoService`: the version and the models.

use super::proto::caikit::runtime::info::info_service_server::InfoService;
use super::proto::caikit_data_model::common::runtime::{
    ModelInfo, ModelInfoRequest, ModelInfoResponse, RuntimeInfoRequest, RuntimeInfoResponse,
};
use super::{caller, status};
use async_trait::async_trait;
use easel_contract::Service;
use easel_contract::caikit::{self, RUNTIME_VERSION, models};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// Describes a service.
pub(super) struct Info(pub(super) Arc<dyn Service>);

#[async_trait]
impl InfoService for Info {
    async fn get_runtime_info(
        &self,
        _request: Request<RuntimeInfoRequest>,
    ) -> Result<Response<RuntimeInfoResponse>, Status> {
        let runtime_version = RUNTIME_VERSION.to_owned();
        Ok(Response::new(RuntimeInfoResponse { runtime_version, python_packages: HashMap::new() }))
    }

    async fn get_models_info(&self, request: Request<ModelInfoRequest>) -> Result<Response<ModelInfoResponse>, Status> {
        let caller = caller(&request)?;
        let found = models(&*self.0, &caller, &request.get_ref().model_ids).await.map_err(|error| status(&error))?;
        Ok(Response::new(ModelInfoResponse { models: found.into_iter().map(ModelInfo::from).collect() }))
    }
}

impl From<caikit::ModelInfo> for ModelInfo {
    fn from(model: caikit::ModelInfo) -> Self {
        let number = |value: u32| Value { kind: Some(Kind::NumberValue(value.into())) };
        let metadata = model.metadata.into_iter().map(|(name, value)| (name.to_owned(), number(value)));
        let module = model.module_metadata;
        Self {
            model_path: model.model_path,
            name: model.name,
            size: model.size.cast_signed(),
            metadata: Some(Struct { fields: metadata.collect() }),
            module_id: model.module_id,
            module_metadata: [("name".to_owned(), module.name), ("version".to_owned(), module.version)].into(),
            loaded: model.loaded,
        }
    }
}
