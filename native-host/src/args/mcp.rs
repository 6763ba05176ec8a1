//! The options of `easel mcp`.

use super::{DeviceArg, LogFormat};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel mcp
  easel mcp --model sdxl-turbo --data ~/pictures
  easel mcp --clip clip-vit-base-patch32 --sam mobile-sam

An agent starts this command and talks to it. The configuration of most clients looks like this:
  {\"mcpServers\": {\"easel\": {\"command\": \"easel\", \"args\": [\"mcp\"]}}}
`easel serve` speaks the same protocol at /mcp.")]
pub(crate) struct McpArgs {
    /// The model for calls that do not name one [env: EASEL_MODEL or MODEL] [default: easel-emoji]
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// The model that scores texts for pictures: a name (see `easel models`), a folder or a hub repository; with it or
    /// --sam there is the tool analyze_image [default: none]
    #[arg(long, value_name = "NAME|PATH", env = "EASEL_CLIP", hide_env_values = true)]
    pub(crate) clip: Option<String>,
    /// The model that cuts regions out of pictures: a name, a folder, a checkpoint or a hub repository [default: none]
    #[arg(long, value_name = "NAME|PATH", env = "EASEL_SAM", hide_env_values = true)]
    pub(crate) sam: Option<String>,
    /// Where to compute [default: auto]
    #[arg(long, value_enum, env = "EASEL_DEVICE", hide_env_values = true)]
    pub(crate) device: Option<DeviceArg>,
    /// The folder for the pictures, for this process alone [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// A configuration file like that of `easel serve`
    #[arg(long, value_name = "FILE", env = "EASEL_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// The format of the log on standard error; RUST_LOG sets its level
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log: LogFormat,
}
