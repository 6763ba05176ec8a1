// 16-bit floats in 32-bit words, and the table of values of IQ4_NL and IQ4_XS.

// The half in the low 16 bits of `word`. Exact, including subnormals, which are common in scales of blocks and which
// unpack2x16float may flush to zero. Infinities and NaN, which weights do not contain, become finite.
fn half(word: u32) -> f32 {
    let magnitude = word & 0x7fffu;
    let normal = bitcast<f32>((magnitude << 13u) + 0x38000000u);
    let subnormal = f32(magnitude) * 5.9604644775390625e-8;
    let value = select(normal, subnormal, magnitude < 0x400u);
    return select(value, -value, (word & 0x8000u) != 0u);
}

// Four bfloat16.
fn brain(words: vec2<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}

// The values of four-bit quants in IQ4_NL and IQ4_XS, denser around zero.
fn places(quants: vec4<u32>) -> vec4<f32> {
    let values = vec4<u32>(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);
    var words = vec4<u32>();
#for i in 0..4
    words[$i] = values[quants[$i] / 4u];
#end
    return vec4<f32>((bitcast<vec4<i32>>(words << (24u - quants % 4u * 8u))) >> vec4<u32>(24u));
}
