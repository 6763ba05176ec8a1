// Layer norm or root-mean-square norm of each row: normal * weight + bias, then * (1 + scale) + shift for modulated layers.

#uniforms rows: u32, width: u32, eps: f32, rows_per_batch: u32, first_row: u32
#input x: X by WIDTH
// (rows, width), from row `first_row` of the whole array
#if WEIGHT
#input weight: W by WIDTH
// (width)
#end
#if BIAS
#input bias: W by WIDTH
// (width)
#end
#if MODULATED
#input scale: M by WIDTH
// (batch, width)
#input shift: M by WIDTH
// (batch, width)
#end
#output y: Y by WIDTH
// (rows, width)

#use vector
#use reduce

#if WIDTH == 4
fn total(v: V) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
#else
fn total(v: V) -> f32 {
    return v;
}
#end

fn reduce(row: u32, thread: u32, subgroup: u32) {
    if (row >= u.rows) {
        return;
    }
    let vectors = u.width / WIDTH;
    let base = row * vectors;
    var sum = V();
#if RMS
    let mean = 0.0;
#else
    for (var i = thread; i < vectors; i += THREADS) {
        sum += x_get(base + i);
    }
    let mean = workgroup_sum(total(sum), thread, subgroup) / f32(u.width);
    sum = V();
#end
    for (var i = thread; i < vectors; i += THREADS) {
        let deviation = x_get(base + i) - mean;
        sum += deviation * deviation;
    }
    let factor = 1.0 / sqrt(workgroup_sum(total(sum), thread, subgroup) / f32(u.width) + u.eps);
    for (var i = thread; i < vectors; i += THREADS) {
        var value = (x_get(base + i) - mean) * factor;
#if WEIGHT
        value *= weight_get(i);
#end
#if BIAS
        value += bias_get(i);
#end
#if MODULATED
        let at = (u.first_row + row) / u.rows_per_batch * vectors + i;
        value = value * (1.0 + scale_get(at)) + shift_get(at);
#end
        y_put(base + i, value);
    }
}
