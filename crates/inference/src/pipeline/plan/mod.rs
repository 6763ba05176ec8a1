//! What a model needs of a device for a request, before anything of it is loaded: [`Pipeline::needs`].
//!
//! Nothing is estimated by formulas of one network or another. Every component is built from the headers of its files and run
//! once on a device that has no numbers, but keeps the ledger of a device that has (`tensor::OutlineDevice`). So a new family
//! is planned by what its networks do, and its weights count in the type and the layout in which they are held.
//!
//! What the program itself holds is not part of it, nor are a GPU's driver and its kernels.

mod needs;
mod sketch;

pub use needs::{ComponentNeeds, Keeping, Needs, gibibytes};

use super::load::Pipeline;
use super::request::Request;
use super::settings::Settings;
use crate::Result;
use sketch::Sketch;

impl Pipeline {
    /// What drawing this request takes. A few milliseconds, and more where a tokenizer has to be read.
    ///
    /// # Errors
    /// Those of a request that the model refuses, and of files whose tensors are not what their configurations say.
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
