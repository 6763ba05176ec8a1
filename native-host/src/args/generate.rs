//! The arguments of `easel generate`.

use super::{Format, KeepingArgs, ModelArgs, OnOff};
use clap::Args;
use easel_inference::pipeline::request::COUNT_MAX;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GenerateArgs {
    /// What to draw; `-` reads it from standard input
    #[arg(required_unless_present = "from")]
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
    #[command(flatten)]
    pub(crate) init: InitArgs,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) keeping: KeepingArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  easel generate \"a red apple\" -o apple.png
  easel generate \"a blue star\" -n 4 --seed 7 --steps 30
  easel generate \"a castle\" --init-image sketch.png --strength 0.6 -o castle.webp
  easel generate --from apple.png -o again.png      the same picture again, from its metadata
  easel generate --from apple.png --steps 40        the same with one setting changed
  echo \"a green fish\" | easel generate - -o - | display

Pictures carry their settings: see `easel metadata`. Ctrl-C stops between two steps and leaves no file.";

/// What to draw and how. The model's own defaults fill in for missing options.
#[derive(Args)]
#[command(next_help_heading = "Picture")]
pub(crate) struct PictureArgs {
    /// What not to draw
    #[arg(long, value_name = "TEXT")]
    pub(crate) negative_prompt: Option<String>,
    /// Denoising steps
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<usize>,
    /// How strongly to follow the prompt; 1 or less turns guidance off
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub(crate) guidance_scale: Option<f64>,
    /// FLUX.1 dev: how strongly to avoid the negative prompt, above 1; doubles the work [default: 2 with a negative prompt]
    #[arg(long, value_name = "G", allow_negative_numbers = true)]
    pub(crate) true_cfg_scale: Option<f64>,
    /// Rescale the guided prediction, from 0 (not at all) to 1 (fully)
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub(crate) guidance_rescale: Option<f64>,
    /// The first picture's seed; the next ones count up [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Width in pixels, a multiple of 8 (of 16 for some models)
    #[arg(long, value_name = "W")]
    pub(crate) width: Option<usize>,
    /// Height in pixels, a multiple of 8 (of 16 for some models)
    #[arg(long, value_name = "H")]
    pub(crate) height: Option<usize>,
    /// The scheduler: ddim, euler, euler-a, dpm++2m, ... (a wrong name lists all)
    #[arg(long, value_name = "NAME")]
    pub(crate) scheduler: Option<String>,
    /// The share of fresh noise in DDIM steps, 0 to 1
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub(crate) eta: Option<f64>,
    /// Read (word:1.3) and [word] as weights
    #[arg(long)]
    pub(crate) weighting: bool,
    /// Split prompts longer than the text encoder's window into several windows
    #[arg(long)]
    pub(crate) long_prompts: bool,
    /// Skip this many of the text encoder's last layers
    #[arg(long, value_name = "N")]
    pub(crate) clip_skip: Option<usize>,
    /// How many pictures to make
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=COUNT_MAX as i64))]
    pub(crate) count: u16,
    /// How many pictures to compute at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) batch_size: usize,
    /// Decode in overlapping tiles, which needs less memory [default: on for large pictures]
    #[arg(long, value_enum, value_name = "on|off")]
    pub(crate) tiling: Option<OnOff>,
    /// Start from the settings in a picture's metadata; other options override them
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

/// The picture to start from.
#[derive(Args)]
#[command(next_help_heading = "Starting from a picture")]
pub(crate) struct InitArgs {
    /// The picture to start from: PNG, JPEG, WebP, GIF, BMP or TIFF
    #[arg(long, value_name = "FILE")]
    pub(crate) init_image: Option<PathBuf>,
    /// How much to change it, 0 (not at all) to 1 (completely) [default: 0.8, with a mask 1]
    #[arg(long, value_name = "S", requires = "init_image", allow_negative_numbers = true)]
    pub(crate) strength: Option<f64>,
    /// Draw only where this picture is white
    #[arg(long, value_name = "FILE", requires = "init_image")]
    pub(crate) mask: Option<PathBuf>,
}

/// Where pictures are written, and what is reported.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// The file or folder to write to; `-` is standard output [default: a name made from the prompt and the seed]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The file format [default: from the extension, else png]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// JPEG quality, 1 to 100
    #[arg(long, value_name = "Q", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: Option<u8>,
    /// Show the picture so far in FILE.preview.png while denoising
    #[arg(long)]
    pub(crate) preview: bool,
    /// Print events as JSON on standard output, one object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
}
