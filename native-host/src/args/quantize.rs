//! The arguments of `easel quantize`.

use clap::Args;
use easel_inference::tensor::BlockFormat;
use std::path::PathBuf;

/// The arguments of `easel quantize`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  easel quantize v1-5-pruned.safetensors sd15-Q8_0.gguf --type Q8_0
  easel quantize ./my-model/unet unet-Q4_K.gguf --type Q4_K
  easel quantize model.ckpt model.gguf --type F16      (the stored numbers, in another file format)

Matrices are quantised; norms, biases, convolutions and position embeddings stay floating-point. The K formats have blocks
of 256: where the length of a row is not a multiple of that, Q4_K becomes Q5_0, Q5_K becomes Q5_1 and Q6_K becomes Q8_0.")]
pub(crate) struct QuantizeArgs {
    /// A file of tensors, or the folder of one component
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The GGUF file to write
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// The GGUF type of matrices: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, or F16 to leave them as stored
    #[arg(long = "type", value_name = "TYPE", value_parser = target)]
    pub(crate) target: Target,
    /// Replace OUT if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// The type for matrices; `None` leaves them as they are stored.
#[derive(Clone, Copy)]
pub(crate) struct Target(pub(crate) Option<BlockFormat>);

fn target(name: &str) -> Result<Target, String> {
    if name.eq_ignore_ascii_case("F16") {
        return Ok(Target(None));
    }
    match BlockFormat::from_name(name) {
        Some(format) if format.quantises() => Ok(Target(Some(format))),
        found => {
            let names: Vec<_> = BlockFormat::ALL.iter().filter(|format| format.quantises()).map(|f| f.name()).collect();
            let problem = if found.is_some() { "can be read but not written" } else { "is not a type" };
            Err(format!("{name} {problem}: expected F16, {}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_their_names() {
        assert_eq!(target("q4_k").ok().and_then(|target| target.0), Some(BlockFormat::Q4K));
        assert!(target("f16").is_ok_and(|target| target.0.is_none()));
        let problem = target("Q2_K").err().unwrap();
        assert!(problem.starts_with("Q2_K can be read but not written: expected F16, Q4_0, "), "{problem}");
        assert!(target("Q9").err().unwrap().starts_with("Q9 is not a type: "));
    }
}
