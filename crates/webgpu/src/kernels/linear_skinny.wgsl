// The product of `linear.wgsl` for few rows, which is limited by reading the weight: eight invocations share a column
// and alternate over its vectors.

#uniforms m: u32, n: u32, k: u32, stride: u32, column: u32
#input x: X by WIDTH
// (m, k)
#input w: W by WIDTH
// (n, k)
#use epilogue

const LANES: u32 = 8u;
const COLUMNS: u32 = 8u;

var<workgroup> partial: array<f32, LANES * COLUMNS * ROWS>;

#if WIDTH == 4
alias Value = vec4<f32>;
fn product(a: Value, b: Value) -> f32 {
    return dot(a, b);
}
#else
alias Value = f32;
fn product(a: Value, b: Value) -> f32 {
    return a * b;
}
#end

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = thread % LANES;
    let n = (group.x + group.y * groups.x) * COLUMNS + thread / LANES;
    let vectors = u.k / WIDTH;
#for i in 0..ROWS
    var sum$i = 0.0;
#end
    if (n < u.n) {
        for (var v = lane; v < vectors; v += LANES) {
            let b = w_get(n * vectors + v);
#for i in 0..ROWS
            // Rows past the last one read the last one and are not stored.
            sum$i += product(x_get(min($iu, u.m - 1u) * vectors + v), b);
#end
        }
    }
#for i in 0..ROWS
    partial[$iu * 64u + thread] = sum$i;
#end
    workgroupBarrier();
    if (lane == 0u) {
#for i in 0..ROWS
        var total$i = 0.0;
#for lane in 0..8
        total$i += partial[$iu * 64u + thread + $laneu];
#end
        store($iu, n, total$i);
#end
    }
}
