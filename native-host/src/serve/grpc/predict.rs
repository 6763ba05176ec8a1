//! `ccv.ComputerVisionService`: draws pictures.

use super::proto::caikit_data_model::caikit_computer_vision::CaptionedImage;
use super::proto::caikit_data_model::common::ProducerId;
use super::proto::caikit_data_model::vision::Image;
use super::proto::ccv::TextToImageTaskRequest;
use super::proto::ccv::computer_vision_service_server::ComputerVisionService;
use super::{caller, deadline, status};
use async_trait::async_trait;
use easel_contract::caikit::{Wish, draw};
use easel_contract::{Error, SEED, Service};
use futures_util::StreamExt;
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// The metadata with the name of the model.
const MODEL: &str = "mm-model-id";

/// Draws pictures with a service.
pub(super) struct Vision(pub(super) Arc<dyn Service>);

#[async_trait]
impl ComputerVisionService for Vision {
    async fn text_to_image_task_predict(
        &self,
        request: Request<TextToImageTaskRequest>,
    ) -> Result<Response<CaptionedImage>, Status> {
        let caller = caller(&request)?;
        let (metadata, _, asked) = request.into_parts();
        let wish = Wish { model_id: model(&metadata)?, ..asked.into() };
        let drawing = async {
            let drawn = draw(&*self.0, caller, wish).await.map_err(|error| status(&error))?;
            let seed = drawn.image.seed;
            let image_data = self.read(&drawn.image).await.map_err(|error| status(&error))?;
            let (name, version) = drawn.producer;
            let mut response = Response::new(CaptionedImage {
                output: Some(Image { image_data }),
                caption: drawn.caption,
                producer_id: Some(ProducerId { name, version }),
            });
            response.metadata_mut().as_mut().insert(SEED, seed.into());
            Ok(response)
        };
        deadline::before(&metadata, drawing).await
    }
}

impl Vision {
    /// The bytes of a picture.
    async fn read(&self, image: &easel_contract::service::Image) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut pieces = self.0.read_image(image.id, 0..image.size).await?;
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }
}

fn model(metadata: &MetadataMap) -> Result<String, Status> {
    let missing = || Status::invalid_argument(format!("{MODEL}: the metadata of the call must name the model"));
    let name = metadata.get(MODEL).and_then(|name| name.to_str().ok()).filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(missing)
}

impl From<TextToImageTaskRequest> for Wish {
    fn from(asked: TextToImageTaskRequest) -> Self {
        Self {
            model_id: String::new(),
            inputs: asked.inputs,
            height: asked.height,
            width: asked.width,
            num_steps: asked.num_steps,
            guidance_scale: asked.guidance_scale,
            negative_prompt: asked.negative_prompt,
            image_format: asked.image_format,
        }
    }
}
