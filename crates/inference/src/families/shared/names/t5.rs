//! The tensor names of T5's encoder in a separate file: those of transformers, or in GGUF files those of llama.cpp.

use super::{Renamed, Tensors, has};
use crate::weights::{TensorIndex, TensorView};

/// A tensor of every T5 encoder, under the name of transformers.
const SIGN: &str = "encoder.block.0.layer.0.SelfAttention.q.weight";

/// The same under the name of llama.cpp.
const GGUF_SIGN: &str = "enc.blk.0.attn_q.weight";

/// A left-over of training.
const LEFT_OVER: &str = "logit_scale";

/// The tensors of a file with only this encoder. Unknown tensors from llama.cpp keep their names, for the error
/// message.
pub(in crate::families) fn alone(index: &TensorIndex) -> Option<Tensors> {
    let kept = index.iter().filter(|(name, _)| !name.ends_with(LEFT_OVER));
    if has(index, SIGN) {
        return Some(kept.map(|(name, view)| (name.to_owned(), view.clone())).collect());
    }
    let renamed =
        |(name, view): (&str, &TensorView)| (rename_gguf(name).unwrap_or_else(|| name.to_owned()), view.clone());
    has(index, GGUF_SIGN).then(|| kept.map(renamed).collect())
}

/// Maps a tensor in a file with other components, where it has the name of transformers already.
pub(in crate::families) fn rename(name: &str, view: &TensorView) -> Renamed {
    let known = name == "shared.weight" || name.starts_with("encoder.");
    known.then(|| vec![(name.to_owned(), view.clone())])
}

/// Maps a name of llama.cpp.
fn rename_gguf(name: &str) -> Option<String> {
    const PARTS: [(&str, &str); 10] = [
        ("attn_norm.", "0.layer_norm."),
        ("attn_q.", "0.SelfAttention.q."),
        ("attn_k.", "0.SelfAttention.k."),
        ("attn_v.", "0.SelfAttention.v."),
        ("attn_o.", "0.SelfAttention.o."),
        ("attn_rel_b.", "0.SelfAttention.relative_attention_bias."),
        ("ffn_norm.", "1.layer_norm."),
        ("ffn_gate.", "1.DenseReluDense.wi_0."),
        ("ffn_up.", "1.DenseReluDense.wi_1."),
        ("ffn_down.", "1.DenseReluDense.wo."),
    ];
    match name {
        "token_embd.weight" => return Some("shared.weight".into()),
        "enc.output_norm.weight" => return Some("encoder.final_layer_norm.weight".into()),
        _ => {}
    }
    let (block, rest) = name.strip_prefix("enc.blk.")?.split_once('.')?;
    let (old, new) = PARTS.iter().find(|(old, _)| rest.starts_with(old))?;
    Some(format!("encoder.block.{block}.layer.{new}{}", &rest[old.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_llama_cpp() {
        let cases = [
            ("token_embd.weight", "shared.weight"),
            ("enc.output_norm.weight", "encoder.final_layer_norm.weight"),
            ("enc.blk.0.attn_rel_b.weight", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
            ("enc.blk.23.attn_norm.weight", "encoder.block.23.layer.0.layer_norm.weight"),
            ("enc.blk.2.ffn_gate.weight", "encoder.block.2.layer.1.DenseReluDense.wi_0.weight"),
            ("enc.blk.2.ffn_down.weight", "encoder.block.2.layer.1.DenseReluDense.wo.weight"),
        ];
        for (old, new) in cases {
            assert_eq!(rename_gguf(old).as_deref(), Some(new));
        }
        for unknown in ["", "enc.blk.0", "dec.blk.0.attn_q.weight", "enc.blk.0.attn_x.weight"] {
            assert_eq!(rename_gguf(unknown), None, "{unknown}");
        }
    }
}
