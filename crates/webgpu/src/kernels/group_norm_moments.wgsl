// First pass of group norm: mean and sum of squared deviations of each channel over a chunk of pixels. Sums are shifted
// by the chunk's first pixel, so that no digits are lost with a large mean.

#uniforms pixels: u32, channels: u32, chunk: u32, chunks: u32, blocks: u32, batches: u32, first: u32, end: u32, first_pixel: u32
#input x: X by WIDTH
// (batch, pixels, channels), from pixel `first_pixel` of the whole array
#output moments: f32 by WIDTH
// (mean or squares, batch, chunks, channels)

#use vector

// 32 vectors of channels times 8 pixels.
var<workgroup> sums: array<V, 256>;
var<workgroup> squares: array<V, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let id = u.first + group.x + group.y * groups.x;
    if (id >= u.end) {
        return;
    }
    let vectors = u.channels / WIDTH;
    let channel = id % u.blocks * 32u + thread % 32u;
    let chunk = id / u.blocks % u.chunks;
    let batch = id / u.blocks / u.chunks;
    let first = chunk * u.chunk;
    let end = min(first + u.chunk, u.pixels);
    var shift = V();
    var sum = V();
    var square = V();
    if (channel < vectors) {
        let base = (batch * u.pixels - u.first_pixel) * vectors + channel;
        shift = x_get(base + first * vectors);
        for (var pixel = first + thread / 32u; pixel < end; pixel += 8u) {
            let value = x_get(base + pixel * vectors) - shift;
            sum += value;
            square += value * value;
        }
    }
    sums[thread] = sum;
    squares[thread] = square;
    workgroupBarrier();
    if (thread < 32u && channel < vectors) {
        for (var other = thread + 32u; other < 256u; other += 32u) {
            sum += sums[other];
            square += squares[other];
        }
        let count = f32(end - first);
        let at = (batch * u.chunks + chunk) * vectors + channel;
        moments_put(at, shift + sum / count);
        moments_put(u.batches * u.chunks * vectors + at, square - sum * sum / count);
    }
}
