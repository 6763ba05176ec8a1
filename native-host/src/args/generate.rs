//! `easel generate` as it is typed.

use super::{Format, ModelArgs, OnOff};
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
    /// Hold one of the model's components at a time: less memory, and every run reads the files again [default: where all of
    /// them do not fit the memory that is free; EASEL_MEMORY sets how much that is]
    #[arg(long)]
    pub(crate) low_memory: bool,
    /// Read the denoiser's blocks from disk during each step, two at a time: the least memory, and the slowest
    #[arg(long)]
    pub(crate) offload: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

const EXAMPLES: &str = "\
Examples:
  easel generate \"a red apple\" -o apple.png
  easel generate \"a blue star\" -n 4 --seed 7 --steps 30
  easel generate \"a castle\" --init-image sketch.png --strength 0.6 -o castle.webp
  easel generate --from apple.png -o again.png      the same picture again, from its metadata
  easel generate --from apple.png --steps 40        the same but for one setting
  echo \"a green fish\" | easel generate - -o - | display

Pictures carry their settings: see `easel metadata`. Ctrl-C stops between two steps and leaves no file.";

/// What the picture is like. Every option that is missing is the model's own default.
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
    /// Rescale the guided prediction, from 0 (not) to 1 (fully)
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub(crate) guidance_rescale: Option<f64>,
    /// The first picture's seed; the next ones count up [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Width in pixels, a multiple of 8
    #[arg(long, value_name = "W")]
    pub(crate) width: Option<usize>,
    /// Height in pixels, a multiple of 8
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
    /// Read prompts longer than the text encoder's window in several windows
    #[arg(long)]
    pub(crate) long_prompts: bool,
    /// Take the text encoder's hidden states this many layers early
    #[arg(long, value_name = "N")]
    pub(crate) clip_skip: Option<usize>,
    /// How many pictures
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=COUNT_MAX as i64))]
    pub(crate) count: u16,
    /// Pictures computed together
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) batch_size: usize,
    /// Decode in overlapping tiles, which needs less memory [default: for large pictures]
    #[arg(long, value_enum, value_name = "on|off")]
    pub(crate) tiling: Option<OnOff>,
    /// Start from the settings in a picture's metadata; other options override them
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

/// A picture to begin with.
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

/// Where pictures go, and what is reported on the way.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// The file or folder to write to; `-` is standard output [default: a name made from prompt and seed]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(short, long)]
    pub(crate) force: bool,
    /// The file format [default: by the extension, else png]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// JPEG quality, 1 to 100
    #[arg(long, value_name = "Q", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) quality: Option<u8>,
    /// Keep FILE.preview.png up to date while denoising
    #[arg(long)]
    pub(crate) preview: bool,
    /// Print events as JSON on standard output, one object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
}
