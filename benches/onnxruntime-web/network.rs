//! Easel's side of the comparison with onnxruntime-web: one block of a UNet, or a whole UNet, called by a worker.
//!
//! `cargo xtask bench onnxruntime-web` builds it. On other platforms it compiles to an empty crate.

#![cfg(target_arch = "wasm32")]

// The threads and the panic messages.
#[cfg(feature = "threads")]
pub use easel_web::{run_thread, shared_memory, shared_module, start_threads};

use easel_inference::models::resnet::{ResnetBlock, ResnetConfig};
use easel_inference::models::unet::{Level, Transformer2d, UNet, UNetConditioning, UNetConfig};
use easel_inference::tensor::Activation;
use easel_inference::weights::{MemorySource, TensorIndex, Weights};
use easel_inference::{Device, Error, Result, Tensor};
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// Widths of the time embedding and the text, and the groups of the norms, in Stable Diffusion 1.5.
const TIME: usize = 1280;
const TEXT: usize = 768;
const GROUPS: usize = 32;

/// The timed network.
#[wasm_bindgen]
pub struct Network(Kind);

enum Kind {
    /// A residual block, possibly followed by a transformer.
    Block {
        resnet: ResnetBlock,
        transformer: Option<Transformer2d>,
    },
    Denoiser(UNet),
}

#[wasm_bindgen]
impl Network {
    /// A block with this number of channels, from the bytes of a safetensors file.
    pub async fn block(channels: usize, attention: bool, bytes: Vec<u8>) -> std::result::Result<Self, JsError> {
        let weights = read(bytes).await.map_err(said)?;
        Ok(Self(block(channels, attention, &weights).map_err(said)?))
    }

    /// A UNet with diffusers' `config.json`.
    pub async fn denoiser(config: String, bytes: Vec<u8>) -> std::result::Result<Self, JsError> {
        let config = UNetConfig::from_json("config.json", &serde_json::from_str(&config)?).map_err(said)?;
        let weights = read(bytes).await.map_err(said)?;
        Ok(Self(Kind::Denoiser(UNet::new(&weights, config).map_err(said)?)))
    }

    /// Runs the network once. `sample` is channels-last; `shapes` has the shapes of the sample and the text states.
    pub async fn run(
        &self,
        sample: Vec<f32>,
        time: Vec<f32>,
        states: Vec<f32>,
        shapes: Vec<usize>,
    ) -> std::result::Result<Vec<f32>, JsError> {
        let (sample_shape, states_shape) = shapes.split_at(4);
        let forward = || self.forward((sample, sample_shape), time, (states, states_shape));
        let out = Device::Cpu.enter(forward).map_err(said)?;
        out.to_vec().await.map_err(said)
    }

    fn forward(&self, sample: (Vec<f32>, &[usize]), time: Vec<f32>, states: (Vec<f32>, &[usize])) -> Result<Tensor> {
        let sample = Tensor::from_vec(sample.0, sample.1, &Device::Cpu)?;
        match &self.0 {
            Kind::Block { resnet, transformer } => {
                let width = time.len();
                let time = Tensor::from_vec(time, &[1, width], &Device::Cpu)?.activation(Activation::Silu)?;
                let hidden = resnet.forward(&sample, Some(&time))?;
                let Some(transformer) = transformer else { return Ok(hidden) };
                transformer.forward(&hidden, &Tensor::from_vec(states.0, states.1, &Device::Cpu)?)
            }
            Kind::Denoiser(unet) => {
                let states = Tensor::from_vec(states.0, states.1, &Device::Cpu)?;
                let timestep = time.first().copied().unwrap_or_default();
                unet.forward(&sample, timestep.into(), &states, &UNetConditioning::default())
            }
        }
    }
}

fn block(channels: usize, attention: bool, weights: &Weights) -> Result<Kind> {
    let config = ResnetConfig { groups: GROUPS, eps: 1e-5, activation: Activation::Silu, time_width: Some(TIME) };
    let level = Level {
        channels,
        layers: 1,
        down_attention: attention,
        up_attention: attention,
        transformer_layers: 1,
        up_transformer_layers: 1,
        heads: 8,
        cross_attention_dim: TEXT,
        only_cross_attention: false,
    };
    let transformer = || Transformer2d::new(&weights.pp("transformer"), &level, 1, GROUPS);
    Ok(Kind::Block {
        resnet: ResnetBlock::new(&weights.pp("resnet"), channels, channels, &config)?,
        transformer: attention.then(transformer).transpose()?,
    })
}

async fn read(bytes: Vec<u8>) -> Result<Weights> {
    let index = TensorIndex::open(Arc::new(MemorySource::new("model.safetensors", bytes))).await?;
    index.load(&Device::Cpu, None).await
}

fn said(error: Error) -> JsError {
    JsError::new(&error.to_string())
}
