// left * gelu(right) of each row (https://arxiv.org/abs/2002.05202).

#uniforms vectors: u32, count: u32
#input x: X by WIDTH
// (rows, 2 * vectors)
#output y: Y by WIDTH
// (rows, vectors)

#use activation
#use each

fn each(i: u32) {
    let left = i / u.vectors * 2u * u.vectors + i % u.vectors;
    y_put(i, x_get(left) * activate(x_get(left + u.vectors)));
}
