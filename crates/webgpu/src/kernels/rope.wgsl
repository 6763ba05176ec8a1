// Rotary position embedding (https://arxiv.org/abs/2104.09864): neighbouring pairs of each head are rotated by the
// angle of their position.

#uniforms pairs: u32, heads: u32, tokens: u32, count: u32, first_row: u32
#input x: X by 1
// (batch * tokens, heads, pairs, 2), from row `first_row` of the whole array
#input angles: f32 by 1
// (tokens, pairs, cosine or sine)
#output y: Y by 1
// (batch, tokens, heads, pairs, 2)

#use each

fn each(i: u32) {
    let at = ((u.first_row + i / u.pairs / u.heads) % u.tokens * u.pairs + i % u.pairs) * 2u;
    let cosine = angles_get(at);
    let sine = angles_get(at + 1u);
    let a = x_get(i * 2u);
    let b = x_get(i * 2u + 1u);
    y_put(i * 2u, a * cosine - b * sine);
    y_put(i * 2u + 1u, a * sine + b * cosine);
}
