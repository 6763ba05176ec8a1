//! Attention on candle tensors, and what goes with it: positions on a grid, rotary positions.

use crate::tensor::Scores;
use candle_core::DType;

/// Attention. Unless it is fused, the scores are in `f32`.
pub(super) fn attention(
    q: &candle_core::Tensor,
    [k, v]: [&candle_core::Tensor; 2],
    heads: usize,
    scores: Scores<'_>,
    bias: Option<&candle_core::Tensor>,
) -> candle_core::Result<candle_core::Tensor> {
    let queries = q.dim(1)?;
    let keys = k.dim(1)?;
    let width = q.dim(2)? / heads;
    let scale = scores.scale.unwrap_or_else(|| f64::from(1.0 / (width as f32).sqrt()));
    let causal = scores.causal;
    let split_q = split_heads(q, heads)?;
    let split_k = split_heads(k, heads)?;
    let split_v = split_heads(v, heads)?;
    let out = if bias.is_none() && is_fused(&split_q, keys, causal)? {
        candle_nn::ops::sdpa(&split_q, &split_k, &split_v, None, causal, scale as f32, NO_SOFTCAP)?
    } else {
        let scores = (split_q.matmul(&split_k.t()?)?.to_dtype(DType::F32)? * scale)?;
        let scores = match bias {
            Some(bias) => scores.broadcast_add(&bias.to_dtype(DType::F32)?)?,
            None => scores,
        };
        let scores = if causal { mask_future(&scores, queries, keys)? } else { scores };
        candle_nn::ops::softmax_last_dim(&scores)?.to_dtype(v.dtype())?.matmul(&split_v)?
    };
    out.transpose(1, 2)?.contiguous()?.reshape(q.shape())
}

/// Decomposed relative positions as what is added to the scores: `[n, heads, t, t]`.
pub(super) fn distances(
    [height, width]: [usize; 2],
    [rows, columns]: [&candle_core::Tensor; 2],
) -> candle_core::Result<candle_core::Tensor> {
    let (batch, tokens, heads, _) = rows.dims4()?;
    // The numbers of the keys' rows, or columns, for each query.
    let pick = |x: &candle_core::Tensor, side: usize, at: fn(usize, usize) -> usize| {
        let places = (0..tokens).flat_map(|query| (0..side).map(move |key| (at(query, width) + side - 1 - key) as u32));
        let places = candle_core::Tensor::from_vec(places.collect::<Vec<u32>>(), (1, tokens, 1, side), x.device())?;
        x.contiguous()?.gather(&places.broadcast_as((batch, tokens, heads, side))?.contiguous()?, 3)
    };
    let rows = pick(rows, height, |query, width| query / width)?.unsqueeze(4)?;
    let columns = pick(columns, width, |query, width| query % width)?.unsqueeze(3)?;
    rows.broadcast_add(&columns)?.reshape((batch, tokens, heads, tokens))?.transpose(1, 2)
}

/// The value that disables the soft cap of scores in candle's fused attention.
const NO_SOFTCAP: f32 = 1.0;

/// Whether candle has a fused kernel for this attention: on Metal, for some head widths. Its causal mask is aligned to
/// the last key rather than to the query's position, so the number of queries must equal that of keys.
fn is_fused(q: &candle_core::Tensor, keys: usize, causal: bool) -> candle_core::Result<bool> {
    let (_, _, queries, width) = q.dims4()?;
    let has_width = matches!(width, 32 | 64 | 72 | 80 | 96 | 128 | 256) || (width == 512 && q.dtype() != DType::F32);
    Ok(q.device().is_metal() && has_width && (!causal || queries == keys))
}

/// `[n, rows, heads * width]` to `[n, heads, rows, width]`.
fn split_heads(x: &candle_core::Tensor, heads: usize) -> candle_core::Result<candle_core::Tensor> {
    let (batch, rows, hidden) = x.dims3()?;
    x.reshape((batch, rows, heads, hidden / heads))?.transpose(1, 2)?.contiguous()
}

/// Adds minus infinity to the scores of keys after their query.
fn mask_future(scores: &candle_core::Tensor, queries: usize, keys: usize) -> candle_core::Result<candle_core::Tensor> {
    let mut mask = vec![0.0_f32; queries * keys];
    for (query, row) in mask.chunks_exact_mut(keys).enumerate() {
        row[keys.min(query + 1)..].fill(f32::NEG_INFINITY);
    }
    scores.broadcast_add(&candle_core::Tensor::from_vec(mask, (queries, keys), scores.device())?)
}

/// `angles` `[t, pairs, 2]` has cosine and sine.
pub(super) fn rope(x: &candle_core::Tensor, angles: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
    let (batch, tokens, hidden) = x.dims3()?;
    let pairs = angles.dim(1)?;
    let angle = |part| angles.narrow(2, part, 1)?.contiguous()?.reshape((1, tokens, 1, pairs, 1));
    let cosine = angle(0)?;
    let sine = angle(1)?;
    let split = x.to_dtype(DType::F32)?.reshape((batch, tokens, hidden / (2 * pairs), pairs, 2))?;
    let a = split.narrow(4, 0, 1)?;
    let b = split.narrow(4, 1, 1)?;
    let first = (a.broadcast_mul(&cosine)? - b.broadcast_mul(&sine)?)?;
    let second = (a.broadcast_mul(&sine)? + b.broadcast_mul(&cosine)?)?;
    candle_core::Tensor::cat(&[&first, &second], 4)?.reshape(x.shape())?.to_dtype(x.dtype())
}
