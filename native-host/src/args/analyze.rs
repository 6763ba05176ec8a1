//! The arguments of `easel analyze`.

use super::DeviceArg;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel pull clip-vit-base-patch32 && easel pull mobile-sam
  easel analyze room.jpg --clip clip-vit-base-patch32 --texts \"a sofa,a bed,a garden\"
  easel analyze room.jpg --sam mobile-sam --point 320,240 --overlay seen.png
  easel analyze room.jpg --sam mobile-sam --box 10,20,200,180 --exclude 90,90 --json
  easel analyze room.jpg --sam mobile-sam --overlay seen.png      (everything that it finds)

Coordinates are pixels from the left and the top. Polygons are lists of rings, the outer one first.")]
pub(crate) struct AnalyzeArgs {
    /// A PNG, JPEG, WebP, GIF, BMP or TIFF file
    pub(crate) image: PathBuf,
    /// Print the probability of each of these texts for the picture; separated by commas
    #[arg(long, value_name = "TEXT,TEXT", value_delimiter = ',', requires = "clip")]
    pub(crate) texts: Vec<String>,
    /// Cut out what is at this point; can be repeated, each point for itself
    #[arg(long, value_name = "X,Y", value_parser = numbers::<2>, allow_hyphen_values = true, requires = "sam")]
    pub(crate) point: Vec<[f64; 2]>,
    /// Cut out what is in this box; can be repeated, each box for itself
    #[arg(
        long = "box", value_name = "X1,Y1,X2,Y2", value_parser = numbers::<4>, allow_hyphen_values = true,
        requires = "sam"
    )]
    pub(crate) area: Vec<[f64; 4]>,
    /// A point that is in none of the masks of points and boxes; can be repeated
    #[arg(long, value_name = "X,Y", value_parser = numbers::<2>, allow_hyphen_values = true, requires = "sam")]
    pub(crate) exclude: Vec<[f64; 2]>,
    /// Points along each side of the grid that everything is looked for with, where there are no points and boxes
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..=128))]
    pub(crate) grid: u8,
    /// The largest distance between polygons and the edges of masks, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 1.0)]
    pub(crate) tolerance: f64,
    /// Print one JSON object, with masks as COCO's run-length encoding and as polygons
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the picture with masks and polygons drawn over it: a png, jpeg or webp file
    #[arg(long, value_name = "FILE", requires = "sam")]
    pub(crate) overlay: Option<PathBuf>,
    /// Replace the file of --overlay
    #[arg(long)]
    pub(crate) force: bool,
    /// The model for texts: a name (see `easel models`), a folder or a hub repository
    #[arg(long, value_name = "NAME|PATH", env = "EASEL_CLIP", hide_env_values = true)]
    pub(crate) clip: Option<String>,
    /// The model for points and boxes: a name, a folder, a checkpoint or a hub repository
    #[arg(long, value_name = "NAME|PATH", env = "EASEL_SAM", hide_env_values = true)]
    pub(crate) sam: Option<String>,
    /// Where to compute
    #[arg(long, value_enum, env = "EASEL_DEVICE", hide_env_values = true, default_value_t = DeviceArg::Auto)]
    pub(crate) device: DeviceArg,
}

/// `N` numbers with commas between them.
fn numbers<const N: usize>(text: &str) -> Result<[f64; N], String> {
    let wrong = || format!("expected {N} numbers with commas between them");
    let numbers = text.split(',').map(|number| number.trim().parse()).collect::<Result<Vec<f64>, _>>();
    numbers.map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}
