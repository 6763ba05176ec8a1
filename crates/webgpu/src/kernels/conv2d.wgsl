// Convolution as a product whose left rows are patches of the picture, which are gathered in place (implicit GEMM).

#uniforms m: u32, n: u32, stride: u32, column: u32, steps: u32, tiles_m: u32, tiles_n: u32, first_tile: u32, height: u32, width: u32, stretched_height: u32, stretched_width: u32, scale_y: f32, scale_x: f32, channels: u32, kernel_height: u32, kernel_width: u32, step: u32, padding: u32, out_height: u32, out_width: u32, first_line: u32, first_source: u32
#input x: X by WIDTH
// (batch, height, width, channels), from row `first_source`
#input w: W by WIDTH
// (n, kernel_height, kernel_width, channels)
#use epilogue

// An output pixel: the first stored row of its picture, and the corner of its patch in upsampled coordinates.
struct Row {
    picture: u32,
    y: u32,
    x: u32,
    inside: bool,
}

fn locate(row: u32) -> Row {
    let line = u.first_line + row / u.out_width;
    // Coordinates to the left of and above the picture wrap around, so they fail the comparison with its size too.
    let y = line % u.out_height * u.step - u.padding;
    let x = row % u.out_width * u.step - u.padding;
    return Row(line / u.out_height * u.height - u.first_source, y, x, row < u.m);
}

// The index of the stored pixel at a position of a patch, or NOWHERE in the padding.
const NOWHERE: u32 = 0xffffffffu;
fn pixel_at(row: Row, ky: u32, kx: u32) -> u32 {
    var y = row.y + ky;
    var x = row.x + kx;
    if (!row.inside || y >= u.stretched_height || x >= u.stretched_width || ky >= u.kernel_height) {
        return NOWHERE;
    }
#if STRETCH
    // PyTorch's `nearest`, rounding included.
    y = min(u32(f32(y) * u.scale_y), u.height - 1u);
    x = min(u32(f32(x) * u.scale_x), u.width - 1u);
#end
    return (row.picture + y) * u.width + x;
}

#if WIDTH == 4
// A vector along K: its index, its tap and its vector of channels.
struct Depth {
    index: u32,
    channel: u32,
    kx: u32,
    ky: u32,
}

fn depth_start(v: u32) -> Depth {
    let tap = v / (u.channels / 4u);
    return Depth(v, v % (u.channels / 4u), tap % u.kernel_width, tap / u.kernel_width);
}

fn depth_advance(depth: Depth) -> Depth {
    var next = depth;
    next.index += VECTORS;
    next.channel += VECTORS;
    while (next.channel >= u.channels / 4u) {
        next.channel -= u.channels / 4u;
        next.kx += 1u;
        if (next.kx == u.kernel_width) {
            next.kx = 0u;
            next.ky += 1u;
        }
    }
    return next;
}

fn x_load(row: Row, depth: Depth) -> vec4<f32> {
    let pixel = pixel_at(row, depth.ky, depth.kx);
    if (pixel == NOWHERE) {
        return vec4<f32>();
    }
    return x_get(pixel * (u.channels / 4u) + depth.channel);
}

fn w_load(column: u32, depth: Depth) -> vec4<f32> {
    if (column >= u.n || depth.ky >= u.kernel_height) {
        return vec4<f32>();
    }
    return w_get(column * (u.kernel_height * u.kernel_width * (u.channels / 4u)) + depth.index);
}
#else
alias Depth = u32;

fn depth_start(v: u32) -> Depth {
    return v * 4u;
}

fn depth_advance(depth: Depth) -> Depth {
    return depth + 4u * VECTORS;
}

fn x_load(row: Row, depth: Depth) -> vec4<f32> {
    var value = vec4<f32>();
#for i in 0..4
    {
        let tap = (depth + $iu) / u.channels;
        let pixel = pixel_at(row, tap / u.kernel_width, tap % u.kernel_width);
        if (pixel != NOWHERE) {
            value[$i] = x_get(pixel * u.channels + (depth + $iu) % u.channels);
        }
    }
#end
    return value;
}

fn w_load(column: u32, depth: Depth) -> vec4<f32> {
    let k = u.kernel_height * u.kernel_width * u.channels;
    var value = vec4<f32>();
    if (column < u.n) {
#for i in 0..4
        if (depth + $iu < k) {
            value[$i] = w_get(column * k + depth + $iu);
        }
#end
    }
    return value;
}
#end

#if COOPERATIVE
#use tile_cooperative
#else
#use tile
#end
