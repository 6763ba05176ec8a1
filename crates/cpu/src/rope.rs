//! Rotary position embedding (<https://arxiv.org/abs/2104.09864>): neighbouring pairs of each head are rotated by the
//! angles of their position.

use crate::Level;
use crate::parallel::{CHUNK, for_each_chunk};
use crate::simd::{Kernel, Simd};

/// Rotates the pairs of `x[batch, tokens, hidden]`, which has one head after another. `angles[tokens, pairs, 2]` has
/// cosine and sine for each pair of a head.
pub fn rope(x: &[f32], [tokens, hidden]: [usize; 2], angles: &[f32], out: &mut [f32]) {
    let width = angles.len() / tokens.max(1);
    assert_eq!((x.len(), angles.len()), (out.len(), tokens * width));
    assert!(width > 0 && width.is_multiple_of(2) && hidden.is_multiple_of(width));
    assert!(x.len().is_multiple_of(tokens * hidden));
    let level = Level::current();
    let rows = (CHUNK / hidden.max(1)).max(1);
    for_each_chunk(out, rows * hidden, |i, out| {
        let x = &x[i * rows * hidden..][..out.len()];
        for (row, (x, out)) in x.chunks_exact(hidden).zip(out.chunks_exact_mut(hidden)).enumerate() {
            let token = (i * rows + row) % tokens;
            level.run(Turn { x, angles: &angles[token * width..][..width], out });
        }
    });
}

/// Rotates the heads of one token.
struct Turn<'a> {
    x: &'a [f32],
    /// Cosine and sine of each pair.
    angles: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let angles = self.angles.as_chunks::<2>().0;
        let x = self.x.as_chunks::<2>().0;
        let out = self.out.as_chunks_mut::<2>().0;
        let pairs = angles.len();
        for head in 0..out.len() / pairs {
            let x = &x[head * pairs..][..pairs];
            let out = &mut out[head * pairs..][..pairs];
            for pair in 0..pairs {
                let [cosine, sine] = angles[pair];
                let [a, b] = x[pair];
                out[pair] = [a * cosine - b * sine, a * sine + b * cosine];
            }
        }
    }
}
