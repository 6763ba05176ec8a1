//! The arguments of the command line. The commands interpret them.

mod analyze;
mod bench;
mod cluster;
mod generate;
mod keeping;
#[cfg(feature = "mcp")]
mod mcp;
mod quantize;
mod serve;
mod values;
mod work;

pub(crate) use analyze::AnalyzeArgs;
pub(crate) use bench::BenchArgs;
pub(crate) use cluster::ClusterArgs;
pub(crate) use generate::{GenerateArgs, InitArgs, OutputArgs, PictureArgs};
pub(crate) use keeping::KeepingArgs;
#[cfg(feature = "mcp")]
pub(crate) use mcp::McpArgs;
pub(crate) use quantize::QuantizeArgs;
pub(crate) use serve::{LogFormat, ServeArgs};
pub(crate) use values::{DeviceArg, DtypeArg, Format, ModelArgs, OnOff, Vae};
pub(crate) use work::WorkArgs;

use clap::{Args, Parser, Subcommand};
use easel_host::model::ComponentPath;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Pictures from text.
#[derive(Parser)]
#[command(name = "easel", bin_name = "easel", version, max_term_width = 100, args_override_self = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Examples:
  easel generate \"a red apple\" -o apple.png
  easel pull sdxl-turbo && easel generate --model sdxl-turbo \"a lighthouse at dawn\"

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 cancelled.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Make pictures from a prompt
    Generate(Box<GenerateArgs>),
    /// Say what is in a picture, and where
    Analyze(Box<AnalyzeArgs>),
    /// Serve pictures over HTTP
    Serve(Box<ServeArgs>),
    /// Write the gRPC definitions of `easel serve --grpc` into a folder
    ExportProtos(ExportProtosArgs),
    /// Give an agent tools for drawing, over standard input and output (Model Context Protocol)
    #[cfg(feature = "mcp")]
    Mcp(McpArgs),
    /// Ask a service whether it is ready
    Health(HealthArgs),
    /// Draw for a queue that several hosts share
    #[command(hide = !cfg!(feature = "cluster"))]
    Work(Box<WorkArgs>),
    /// Make an API key for clients of `easel serve`
    NewKey(NewKeyArgs),
    /// List the models that have a short name
    Models(ModelsArgs),
    /// Download a model into the Hugging Face cache
    Pull(PullArgs),
    /// Show the contents of a model file or folder
    Inspect(InspectArgs),
    /// Convert the tensors of a model to a GGUF file with fewer bits
    Quantize(QuantizeArgs),
    /// List the devices that can compute
    Devices(DevicesArgs),
    /// Print the settings that a picture was made with
    Metadata(MetadataArgs),
    /// Measure the speed of networks with random weights
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

#[derive(Args)]
pub(crate) struct ModelsArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel pull sd-turbo
  HF_TOKEN=hf_... easel pull stable-diffusion-xl --variant fp16

Files go to $HF_HOME/hub (default ~/.cache/huggingface/hub), where Python's huggingface_hub finds them too.")]
pub(crate) struct PullArgs {
    /// A short name (see `easel models`) or a hub repository, owner/name
    pub(crate) name: String,
    /// Prefer the weight files of this variant, for example fp16
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
    /// The branch, tag or commit of the repository
    #[arg(long, value_name = "REVISION", default_value = "main")]
    pub(crate) revision: String,
    /// Print events as JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel inspect v1-5-pruned-emaonly.safetensors
  easel inspect ./my-model --tensors | grep attn2
  easel inspect flat-denoiser.safetensors --component vae=./vae
  easel inspect easel-emoji --json")]
pub(crate) struct InspectArgs {
    /// A model file or folder, or the name of a model
    #[arg(value_name = "PATH")]
    pub(crate) model: String,
    /// List every tensor with its type, shape and size
    #[arg(long)]
    pub(crate) tensors: bool,
    /// Print the configuration of every component
    #[arg(long)]
    pub(crate) config: bool,
    /// Read the weight files of this variant, for example fp16
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,
    /// Take a component from a separate file or folder, as for `easel generate`
    #[arg(long, value_name = "NAME=PATH")]
    pub(crate) component: Vec<ComponentPath>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel new-key gallery --file keys.toml            (prints the key once and adds its hash to the file)
  easel serve --listen 0.0.0.0:8100 --api-key-file keys.toml
  curl -H \"authorization: Bearer $KEY\" http://192.168.1.7:8100/tasks

The file can limit each key: rate = 60 (requests a minute), concurrency = 4, models = [\"easel-emoji\"].")]
pub(crate) struct NewKeyArgs {
    /// The key's name in the log
    #[arg(default_value = "key")]
    pub(crate) name: String,
    /// The key file to add the key's hash to [default: print the entry for it on standard error]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel export-protos protos
  python -m grpc_tools.protoc -Iprotos --python_out=generated --grpc_python_out=generated protos/*.proto")]
pub(crate) struct ExportProtosArgs {
    /// The folder for the .proto files; it is created if it does not exist
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel health                                   (the service on this machine)
  easel health https://draw.example.org --live

Without --live, a service is ready if its database, disk, pictures and engines work. It needs no key.")]
pub(crate) struct HealthArgs {
    /// Where the service is [default: on this machine, where it listens]
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Only ask whether it answers
    #[arg(long)]
    pub(crate) live: bool,
    /// Where it listens, if that is not the default
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "EASEL_LISTEN",
        hide_env_values = true,
        default_value = "127.0.0.1:8100"
    )]
    pub(crate) listen: SocketAddr,
}

#[derive(Args)]
pub(crate) struct DevicesArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel metadata apple.png
  easel generate --from apple.png -o again.png      (the same picture again)")]
pub(crate) struct MetadataArgs {
    /// A PNG, JPEG, WebP or TIFF file
    pub(crate) file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel completions bash > ~/.local/share/bash-completion/completions/easel
  easel completions zsh > ~/.zfunc/_easel
  easel completions fish > ~/.config/fish/completions/easel.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  easel man | man -l -
  easel man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder to write the pages of all commands to: easel.1, easel-generate.1 and so on [default: print easel.1]
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
