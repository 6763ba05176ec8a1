//! T5's encoder in a file of its own: under the names of transformers, or under those of llama.cpp, which GGUF files have.

use super::{Renamed, Tensors, has};
use crate::weights::{TensorIndex, TensorView};

/// A tensor that every T5 encoder has, in the names of transformers.
const SIGN: &str = "encoder.block.0.layer.0.SelfAttention.q.weight";

/// The same in the names of llama.cpp.
const GGUF_SIGN: &str = "enc.blk.0.attn_q.weight";

/// What training leaves beside an encoder.
const LEFT_OVER: &str = "logit_scale";

/// The tensors of a file that holds this encoder alone. Those of llama.cpp that have no place in it keep their names, so that
/// an error can say them.
pub(in crate::families) fn alone(index: &TensorIndex) -> Option<Tensors> {
    let kept = index.iter().filter(|(name, _)| !name.ends_with(LEFT_OVER));
    if has(index, SIGN) {
        return Some(kept.map(|(name, view)| (name.to_owned(), view.clone())).collect());
    }
    let renamed =
        |(name, view): (&str, &TensorView)| (rename_gguf(name).unwrap_or_else(|| name.to_owned()), view.clone());
    has(index, GGUF_SIGN).then(|| kept.map(renamed).collect())
}

/// A tensor among those of other components, which has its name of transformers.
pub(in crate::families) fn rename(name: &str, view: &TensorView) -> Renamed {
    let known = name == "shared.weight" || name.starts_with("encoder.");
    known.then(|| vec![(name.to_owned(), view.clone())])
}

/// From llama.cpp's name.
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
