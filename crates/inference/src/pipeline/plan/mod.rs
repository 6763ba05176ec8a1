//! Plans how much memory a request takes on a device, before the model is loaded: [`Pipeline::needs`].
//!
//! There are no formulas for particular networks. Every component is built from the headers of its files and runs once
//! on a device without data, which keeps the memory ledger of a real device (`tensor::OutlineDevice`). So new families
//! need no code for planning, and weights count in the type and layout in which they are kept.
//!
//! The memory of the program itself, of a GPU's driver and of its kernels is not included.

mod needs;
mod sketch;

pub use needs::{ComponentNeeds, Keeping, Needs, gibibytes};

use super::load::Pipeline;
use super::request::Request;
use super::settings::Settings;
use crate::Result;
use sketch::Sketch;

impl Pipeline {
    /// The memory that drawing this request takes. Planning takes a few milliseconds, or more if a tokenizer has to be
    /// read.
    ///
    /// # Errors
    /// For a request that the model refuses, and for files whose tensors do not fit their configurations.
    pub fn needs(&self, request: &Request) -> Result<Needs> {
        let settings = Settings::resolve(&*self.model, &self.scheduler, self.defaults(), request)?;
        let most = request.batch_size.min(request.prompts.len());
        let mut sketch = Sketch::new(self, request, &settings, &request.prompts[..most]);
        let conditioning = sketch.text()?;
        sketch.denoiser(&conditioning)?;
        drop(conditioning);
        sketch.autoencoder()?;
        Ok(Needs { size: settings.size, components: sketch.finish() })
    }
}
