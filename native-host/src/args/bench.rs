//! The arguments of `easel bench`.

use super::{DeviceArg, DtypeArg};
use clap::Args;

#[derive(Args)]
#[command(after_help = "\
Without a name, lists what can be timed. Each component runs in its own process, so that its peak memory is measured alone;
beside it stands what was planned before anything was loaded.

Examples:
  easel bench sd15-unet
  easel bench sd15-unet vae-decode --size 256 --dtype f16 --runs 5 --json
  easel bench sd15-unet --device gpu --dtype f16            also times each kernel by the GPU's timestamps
  easel bench sam-vit-b clip-vit-b32                        what easel analyze computes with
  easel bench easel-emoji --size 256 --offload
  easel bench matmul --device gpu --dtype f16 --cooperative")]
pub(crate) struct BenchArgs {
    /// What to time, or `all`
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Width and height of the picture in pixels [default: the architecture's own]
    #[arg(long, value_name = "PIXELS")]
    pub(crate) size: Option<usize>,
    /// Samples in a batch [default: 2 for UNets and text encoders, 16 for CLIP, else 1]
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<usize>,
    /// Type of the weights; bf16 also multiplies in bf16 on processors that are faster at it [default: f32, and with --model
    /// as they are stored]
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<DtypeArg>,
    /// Where to compute
    #[arg(long, value_enum, env = "EASEL_DEVICE", hide_env_values = true, default_value_t = DeviceArg::Cpu)]
    pub(crate) device: DeviceArg,
    /// The model of a pipeline [default: the embedded one]
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// Steps of a pipeline
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) steps: usize,
    /// A pipeline holds one component at a time
    #[arg(long)]
    pub(crate) low_memory: bool,
    /// A pipeline streams its denoiser's blocks from disk
    #[arg(long)]
    pub(crate) offload: bool,
    /// Use the GPU's tensor cores, if it has them, for f16 matrix products
    #[arg(long)]
    pub(crate) cooperative: bool,
    /// Timed runs, after one untimed warm-up
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    /// Processor threads [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
    /// Print JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Time the single name in this process
    #[arg(long, hide = true)]
    pub(crate) in_process: bool,
}

impl BenchArgs {
    /// The type that weights are made in, or converted to as they are loaded; `None` leaves those of a model as they are.
    pub(crate) fn dtype(&self) -> Option<DtypeArg> {
        self.dtype.or_else(|| self.model.is_none().then_some(DtypeArg::F32))
    }
}
