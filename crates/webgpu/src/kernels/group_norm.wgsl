// Last pass of group norm: activation((x - mean) * scale + bias).

#uniforms vectors: u32, pixels: u32, count: u32, first: u32
#input x: X by WIDTH
// (batch, pixels, channels), from vector `first`
#input folded: f32 by WIDTH
// (batch, mean or scale, channels)
#input bias: B by WIDTH
// (channels)
#output y: Y by WIDTH
// (batch, pixels, channels)

#use activation
#use each

fn each(i: u32) {
    let channel = (u.first + i) % u.vectors;
    let base = (u.first + i) / u.vectors / u.pixels * 2u * u.vectors + channel;
    y_put(i, activate((x_get(i) - folded_get(base)) * folded_get(base + u.vectors) + bias_get(channel)));
}
