//! What goes into a family's text encoders and what comes out for its denoiser. Which tensors those are is the family's
//! affair: they have names that the family chose.

use crate::pipeline::{CancelToken, Prompt, Request};
use crate::{Device, Error, Result, Tensor};
use std::collections::BTreeMap;

/// A batch of prompts and what of the request they are read for.
#[derive(Clone, Copy)]
pub struct Prompts<'a> {
    /// The pictures of the batch.
    pub batch: &'a [Prompt],
    /// The request that they are from: reading options, size conditioning, whether a picture is given.
    pub request: &'a Request,
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// How strongly the prompt is followed.
    pub guidance_scale: f64,
    /// Whether negative prompts are read too.
    pub guided: bool,
    /// Stops the run.
    pub cancel: &'a CancelToken,
}

/// What one text encoder made of a batch; negative prompts come first.
#[derive(Clone, Debug)]
pub struct TextStates {
    /// A state for each token: `[n, t, d]`.
    pub hidden: Tensor,
    /// One for each prompt, if the encoder has it: `[n, p]`.
    pub pooled: Option<Tensor>,
    /// What the user should know: that a prompt was cut, say.
    pub warnings: Vec<String>,
}

impl TextStates {
    /// The states of `N` encoders, from first to last.
    pub fn exactly<const N: usize>(states: Vec<Self>) -> Result<[Self; N]> {
        let wrong = |states: Vec<Self>| Error::Shape {
            op: "condition",
            expected: format!("the states of {N} text encoders"),
            got: vec![states.len()],
        };
        states.try_into().map_err(wrong)
    }

    /// The same in host memory.
    pub async fn into_host(self) -> Result<Self> {
        let pooled = match &self.pooled {
            Some(pooled) => Some(pooled.to_host().await?),
            None => None,
        };
        Ok(Self { hidden: self.hidden.to_host().await?, pooled, warnings: self.warnings })
    }
}

/// Everything besides latents and timestep that a denoiser takes, in host memory until it is asked for on a device. With
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

    /// Adds numbers, which no device rounds.
    pub fn with_numbers(mut self, name: &'static str, numbers: Vec<f64>) -> Self {
        self.numbers.insert(name, numbers);
        self
    }

    /// The second half of every tensor: what belongs to the prompts, where negative prompts come first. Numbers stay.
    pub fn second_half(&self) -> Result<Self> {
        let half = |(name, tensor): (&&'static str, &Tensor)| -> Result<(&'static str, Tensor)> {
            let n = tensor.shape().first().copied().unwrap_or(0) / 2;
            Ok((*name, tensor.narrow(0, n, n)?))
        };
        Ok(Self { tensors: self.tensors.iter().map(half).collect::<Result<_>>()?, numbers: self.numbers.clone() })
    }

    /// A tensor that is always there.
    pub fn tensor(&self, name: &'static str) -> Result<&Tensor> {
        self.find(name).ok_or_else(|| Error::invalid("conditioning", format!("{name} is missing")))
    }

    /// A tensor, if it is there.
    pub fn find(&self, name: &'static str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Numbers, if they are there.
    pub fn numbers(&self, name: &'static str) -> Option<&[f64]> {
        self.numbers.get(name).map(Vec::as_slice)
    }

    /// The same in the type that models compute in, on their device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let there = |(name, tensor): (&&'static str, &Tensor)| -> Result<(&'static str, Tensor)> {
            Ok((*name, tensor.cast(device.float())?.to_device(device)?))
        };
        Ok(Self { tensors: self.tensors.iter().map(there).collect::<Result<_>>()?, numbers: self.numbers.clone() })
    }
}
