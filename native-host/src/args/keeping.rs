//! The options about what of a model stays in memory, the same for all commands that draw.

use clap::Args;
use easel_inference::pipeline::Keeping;

#[derive(Args)]
pub(crate) struct KeepingArgs {
    /// Load one component of the model at a time: needs less memory, but reads the files again for every run [default: if not
    /// all of them fit into the free memory, or into EASEL_MEMORY]
    #[arg(long)]
    pub(crate) low_memory: bool,
    /// Read the denoiser's blocks from disk during each step, two at a time: the least memory, and the slowest
    #[arg(long)]
    pub(crate) offload: bool,
}

impl KeepingArgs {
    /// How to keep components; `None` if that is not said.
    pub(crate) fn keeping(&self) -> Option<Keeping> {
        Keeping::asked(self.low_memory, self.offload)
    }
}
