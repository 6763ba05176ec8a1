// activation(x w^T + bias + residual), tile by tile.

#uniforms m: u32, n: u32, k: u32, stride: u32, column: u32, steps: u32, tiles_m: u32, tiles_n: u32, first_tile: u32
#input x: X by WIDTH
// (m, k)
#input w: W by WIDTH
// (n, k): the rows of the whole weight from `column`
#use epilogue

alias Row = u32;
alias Depth = u32;

fn locate(row: u32) -> Row {
    return row;
}

// A depth is an index of vectors along K.
fn depth_start(v: u32) -> Depth {
    return v;
}

fn depth_advance(depth: Depth) -> Depth {
    return depth + VECTORS;
}

#if WIDTH == 4
fn x_load(row: Row, depth: Depth) -> vec4<f32> {
    if (row >= u.m || depth >= u.k / 4u) {
        return vec4<f32>();
    }
    return x_get(row * (u.k / 4u) + depth);
}

fn w_load(column: u32, depth: Depth) -> vec4<f32> {
    if (column >= u.n || depth >= u.k / 4u) {
        return vec4<f32>();
    }
    return w_get(column * (u.k / 4u) + depth);
}
#else
fn x_load(row: Row, depth: Depth) -> vec4<f32> {
    var value = vec4<f32>();
    if (row < u.m) {
#for i in 0..4
        if (depth * 4u + $iu < u.k) {
            value[$i] = x_get(row * u.k + depth * 4u + $iu);
        }
#end
    }
    return value;
}

fn w_load(column: u32, depth: Depth) -> vec4<f32> {
    var value = vec4<f32>();
    if (column < u.n) {
#for i in 0..4
        if (depth * 4u + $iu < u.k) {
            value[$i] = w_get(column * u.k + depth * 4u + $iu);
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
