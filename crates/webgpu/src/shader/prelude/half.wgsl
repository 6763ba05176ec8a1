// 16-bit floats in 32-bit words.

// The half in the low 16 bits of `word`. Exact, subnormals included; infinities and NaN, which weights don't have, become
// finite.
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
