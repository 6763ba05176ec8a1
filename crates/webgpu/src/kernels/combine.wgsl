// A weighted sum of arrays of one shape, which is what a sampler's step comes down to.

#uniforms scales: vec4<f32>, count: u32
#for i in 0..TERMS
#input x$i: X$i by WIDTH
#end
#output y: Y by WIDTH

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + thread;
    if (i >= u.count) {
        return;
    }
    var sum = x0_get(i) * u.scales[0];
#for i in 1..TERMS
    sum += x$i_get(i) * u.scales[$i];
#end
    y_put(i, sum);
}
