// Second pass of group norm: merges the moments of all chunks and channels of a group into its mean and its scale for
// each channel (Chan, Golub, LeVeque).

#uniforms pixels: u32, channels: u32, chunk: u32, chunks: u32, batch: u32, groups: u32, eps: f32
#input moments: f32 by 1
// (mean or squares, batch, chunks, channels)
#input weight: W by 1
// (channels)
#output folded: f32 by 1
// (batch, mean or scale, channels)

#use reduce

fn reduce(id: u32, thread: u32, subgroup: u32) {
    if (id >= u.batch * u.groups) {
        return;
    }
    let batch = id / u.groups;
    let width = u.channels / u.groups;
    let first = id % u.groups * width;
    let entries = u.chunks * width;
    let base = batch * u.chunks * u.channels + first;
    let plane = u.batch * u.chunks * u.channels;
    let total = f32(u.pixels) * f32(width);

    var sum = 0.0;
    for (var entry = thread; entry < entries; entry += THREADS) {
        let chunk = entry / width;
        let count = f32(min(u.chunk, u.pixels - chunk * u.chunk));
        sum += moments_get(base + chunk * u.channels + entry % width) * count;
    }
    let mean = workgroup_sum(sum, thread, subgroup) / total;
    sum = 0.0;
    for (var entry = thread; entry < entries; entry += THREADS) {
        let chunk = entry / width;
        let count = f32(min(u.chunk, u.pixels - chunk * u.chunk));
        let at = base + chunk * u.channels + entry % width;
        let deviation = moments_get(at) - mean;
        sum += moments_get(plane + at) + count * deviation * deviation;
    }
    let variance = workgroup_sum(sum, thread, subgroup) / total;
    let scale = 1.0 / sqrt(variance + u.eps);
    for (var channel = first + thread; channel < first + width; channel += THREADS) {
        folded_put(batch * 2u * u.channels + channel, mean);
        folded_put((batch * 2u + 1u) * u.channels + channel, scale * weight_get(channel));
    }
}
