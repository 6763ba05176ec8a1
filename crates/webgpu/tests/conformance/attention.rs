//! `attention` for all shapes of models, and some others.

use super::{Expected, activations, assert_near, random};
use easel_webgpu::shader::Format;
use easel_webgpu::{Context, ops};

struct Case {
    batch: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    width: usize,
    causal: bool,
}

/// One head's row: weights of the values, then their sum in each column.
fn row(q: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<Expected> {
    let scale = 1.0 / (q.len() as f64).sqrt();
    let dot = |k: &&[f32]| q.iter().zip(*k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * scale;
    let scores: Vec<f64> = keys.iter().map(dot).collect();
    let top = scores.iter().fold(f64::NEG_INFINITY, |top, score| top.max(*score));
    let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let column = |c: usize| {
        let terms = || weights.iter().zip(values).map(|(w, v)| w * f64::from(v[c]) / sum);
        (terms().sum(), terms().map(f64::abs).sum())
    };
    (0..q.len()).map(column).collect()
}

async fn check(context: &Context, case: &Case, format: Format) {
    let Case { batch, queries, keys, heads, width, causal } = *case;
    let hidden = heads * width;
    let q = random(context, &[batch, queries, hidden], 1, format);
    let k = random(context, &[batch, keys, hidden], 2, format);
    let v = random(context, &[batch, keys, hidden], 3, format);
    let y = ops::attention(context, &q.array, &k.array, &v.array, heads, causal).unwrap();
    let mut want = vec![(0.0, 0.0); q.values.len()];
    for head in 0..batch * heads {
        let n = head / heads;
        let start = head % heads * width;
        let part = |values: &'_ [f32], row: usize| values[row * hidden + start..][..width].to_vec();
        let rows = |values: &[f32]| (0..keys).map(|key| part(values, n * keys + key)).collect::<Vec<_>>();
        let k = rows(&k.values);
        let v = rows(&v.values);
        let (k, v): (Vec<&[f32]>, Vec<&[f32]>) =
            (k.iter().map(|k| &k[..]).collect(), v.iter().map(|v| &v[..]).collect());
        for query in 0..queries {
            let seen = if causal { keys.min(query + 1) } else { keys };
            let out = row(&part(&q.values, n * queries + query), &k[..seen], &v[..seen]);
            want[(n * queries + query) * hidden + start..][..width].copy_from_slice(&out);
        }
    }
    let what = format!("attention [{batch}, {queries}/{keys}, {heads} x {width}] causal: {causal}, {format:?}");
    assert_near(context, &y, &[batch, queries, hidden], &want, 1e-5, &what).await;
}

pub(crate) async fn attention_of_every_width(context: &Context) {
    let case = |queries, keys, heads, width, causal| Case { batch: 2, queries, keys, heads, width, causal };
    let cases = [
        case(1, 1, 1, 1, false),
        case(3, 5, 2, 3, false),
        case(65, 33, 3, 8, false),
        case(40, 77, 2, 40, false),
        case(77, 77, 2, 64, true),
        case(130, 70, 1, 30, false),
        case(33, 64, 1, 80, false),
        case(20, 31, 1, 128, true),
        case(35, 40, 1, 160, false),
        case(35, 65, 1, 161, true),
        case(33, 70, 1, 512, false),
        case(70, 20, 1, 4, true),
    ];
    for case in &cases {
        check(context, case, Format::F32).await;
    }
    for case in cases.iter().filter(|case| case.width.is_multiple_of(20) || case.width == 3) {
        for &format in activations(context) {
            check(context, case, format).await;
        }
    }
}

pub(crate) async fn a_bias_is_added_to_the_scaled_scores(context: &Context) {
    let [batch, queries, keys, heads, width] = [2, 37, 45, 3, 8];
    let hidden = heads * width;
    let rows: Vec<f32> =
        (0..heads * queries * keys).map(|i| if i % keys == i / keys % queries { 60.0 } else { 0.0 }).collect();
    for &format in activations(context) {
        let q = random(context, &[batch, queries, hidden], 1, format);
        let k = random(context, &[batch, keys, hidden], 2, format);
        let v = random(context, &[batch, keys, hidden], 3, format);
        let bias = super::store(context, &rows, &[heads, queries, keys], format).array;
        let scores = ops::Scores { scale: Some(0.5), bias: Some(&bias), ..ops::Scores::default() };
        let y = ops::attention_scored(context, [&q.array, &k.array, &v.array], heads, scores).unwrap();
        // Scores so large that each query only attends to the key of its own position.
        let seen = |i: usize| i / (queries * hidden) * keys * hidden + i % (queries * hidden);
        let want: Vec<Expected> =
            (0..q.values.len()).map(|i| f64::from(v.values[seen(i)])).map(|y| (y, y.abs() + 1e-3)).collect();
        assert_near(context, &y, &[batch, queries, hidden], &want, 1e-5, &format!("bias, {format:?}")).await;
    }
}

pub(crate) async fn large_scores_do_not_overflow(context: &Context) {
    let q = super::store(context, &[300.0; 8], &[1, 1, 8], Format::F32).array;
    let keys: Vec<f32> = (0..40).flat_map(|key| [key as f32 - 20.0; 8]).collect();
    let k = super::store(context, &keys, &[1, 40, 8], Format::F32).array;
    let y = ops::attention(context, &q, &k, &k, 1, false).unwrap();
    assert_near(context, &y, &[1, 1, 8], &[(19.0, 19.0); 8], 1e-6, "the largest score takes all").await;
}

/// More work than one dispatch may do: tiles of queries continue where the last dispatch stopped.
pub(crate) async fn a_long_attention_is_cut(context: &Context) {
    if !context.capabilities().is_software() {
        println!("skipped: only a software rasteriser cuts at this size");
        return;
    }
    let queries = 2700;
    let keys = 3000;
    let width = 64;
    let q = random(context, &[1, queries, width], 1, Format::F32).array;
    let k = random(context, &[1, keys, width], 2, Format::F32).array;
    let row: Vec<f32> = (0..width).map(|c| c as f32).collect();
    let v = super::store(context, &row.repeat(keys), &[1, keys, width], Format::F32).array;
    let y = ops::attention(context, &q, &k, &v, 1, false).unwrap();
    let want: Vec<Expected> = (0..queries * width).map(|i| ((i % width) as f64, (i % width) as f64)).collect();
    assert_near(context, &y, &[1, queries, width], &want, 1e-5, "long attention").await;
}

pub(crate) async fn rope_turns_pairs(context: &Context) {
    let batch = 2;
    let tokens = 5;
    let heads = 3;
    let pairs = 4;
    let turns: Vec<f32> = (0..tokens * pairs).map(|i| (i / pairs) as f32 / (1 + i % pairs) as f32).collect();
    let table: Vec<f32> = turns.iter().flat_map(|turn| [turn.cos(), turn.sin()]).collect();
    let angles = super::store(context, &table, &[tokens, pairs, 2], Format::F32);
    for &format in activations(context) {
        let shape = [batch, tokens, heads * pairs * 2];
        let x = random(context, &shape, 1, format);
        let y = ops::rope(context, &x.array, &angles.array).unwrap();
        let turned = |(i, x): (usize, &[f32])| {
            let at = (i / pairs / heads % tokens * pairs + i % pairs) * 2;
            let [c, s] = [at, at + 1].map(|at| f64::from(table[at]));
            let [a, b] = [f64::from(x[0]), f64::from(x[1])];
            [(a * c - b * s, a.abs() + b.abs()), (a * s + b * c, a.abs() + b.abs())]
        };
        let want: Vec<Expected> = x.values.chunks(2).enumerate().flat_map(turned).collect();
        assert_near(context, &y, &shape, &want, 3e-7, &format!("rope {format:?}")).await;
    }
}
