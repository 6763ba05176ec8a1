//! The input of a family's text encoders and of its denoiser. Each family chooses which tensors it needs, and names
//! them.

use crate::pipeline::{CancelToken, Prompt, Request};
use crate::{Device, Error, Result, Tensor};
use std::collections::BTreeMap;

/// A batch of prompts, with the parts of the request that text encoders and conditioning depend on.
#[derive(Clone, Copy)]
pub struct Prompts<'a> {
    /// The pictures of the batch.
    pub batch: &'a [Prompt],
    /// Their request, for its prompt options, its size conditioning and its initial picture.
    pub request: &'a Request,
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// The guidance scale.
    pub guidance_scale: f64,
    /// Whether the negative prompts are encoded too.
    pub guided: bool,
    /// Stops the run.
    pub cancel: &'a CancelToken,
}

/// The output of one text encoder for a batch. The negative prompts come first.
#[derive(Clone, Debug)]
pub struct TextStates {
    /// The state of each token: `[n, t, d]`.
    pub hidden: Tensor,
    /// The pooled state of each prompt, if the encoder has one: `[n, p]`.
    pub pooled: Option<Tensor>,
    /// Warnings for the user, for example that a prompt was truncated.
    pub warnings: Vec<String>,
}

impl TextStates {
    /// Checks that there are the states of `N` encoders.
    pub fn exactly<const N: usize>(states: Vec<Self>) -> Result<[Self; N]> {
        let wrong = |states: Vec<Self>| Error::Shape {
            op: "condition",
            expected: format!("the states of {N} text encoders"),
            got: vec![states.len()],
        };
        states.try_into().map_err(wrong)
    }

    /// Copies the states to host memory.
    pub async fn into_host(self) -> Result<Self> {
        let pooled = match &self.pooled {
            Some(pooled) => Some(pooled.to_host().await?),
            None => None,
        };
        Ok(Self { hidden: self.hidden.to_host().await?, pooled, warnings: self.warnings })
    }
}

/// All inputs of a denoiser besides latents and timestep, in host memory until they are copied to a device. With
/// guidance, the negative half comes first.
#[derive(Clone, Debug, Default)]
pub struct Conditioning {
    tensors: BTreeMap<&'static str, Tensor>,
    numbers: BTreeMap<&'static str, Vec<f64>>,
}

impl Conditioning {
    /// Adds a tensor.
    pub fn with(mut self, name: &'static str, tensor: Tensor) -> Self {
        self.tensors.insert(name, tensor);
        self
    }

    /// Adds numbers. They stay `f64` on every device.
    pub fn with_numbers(mut self, name: &'static str, numbers: Vec<f64>) -> Self {
        self.numbers.insert(name, numbers);
        self
    }

    /// The second half of every tensor: the part for the positive prompts. Numbers stay.
    pub fn second_half(&self) -> Result<Self> {
        let half = |(name, tensor): (&&'static str, &Tensor)| -> Result<(&'static str, Tensor)> {
            let n = tensor.shape().first().copied().unwrap_or(0) / 2;
            Ok((*name, tensor.narrow(0, n, n)?))
        };
        Ok(Self { tensors: self.tensors.iter().map(half).collect::<Result<_>>()?, numbers: self.numbers.clone() })
    }

    /// A required tensor.
    pub fn tensor(&self, name: &'static str) -> Result<&Tensor> {
        self.find(name).ok_or_else(|| Error::invalid("conditioning", format!("{name} is missing")))
    }

    /// An optional tensor.
    pub fn find(&self, name: &'static str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Optional numbers.
    pub fn numbers(&self, name: &'static str) -> Option<&[f64]> {
        self.numbers.get(name).map(Vec::as_slice)
    }

    /// Copies the tensors to a device, in its floating-point type.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let to_device = |(name, tensor): (&&'static str, &Tensor)| -> Result<(&'static str, Tensor)> {
            Ok((*name, tensor.cast(device.float())?.to_device(device)?))
        };
        Ok(Self { tensors: self.tensors.iter().map(to_device).collect::<Result<_>>()?, numbers: self.numbers.clone() })
    }
}
