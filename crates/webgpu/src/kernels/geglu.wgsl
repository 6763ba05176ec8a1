// left * gelu(right) of each row (https://arxiv.org/abs/2002.05202).

#uniforms vectors: u32, count: u32
#input x: X by WIDTH
// (rows, 2 * vectors)
#output y: Y by WIDTH
// (rows, vectors)

#if WIDTH == 4
alias V = vec4<f32>;
#else
alias V = f32;
#end
#use activation

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + thread;
    if (i < u.count) {
        let left = i / u.vectors * 2u * u.vectors + i % u.vectors;
        y_put(i, x_get(left) * activate(x_get(left + u.vectors)));
    }
}
