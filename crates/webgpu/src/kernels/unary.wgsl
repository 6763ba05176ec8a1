// A function of each element: an activation, or one of the functions that samplers need.

#uniforms count: u32, a: f32, b: f32
#input x: X by WIDTH
#output y: Y by WIDTH

#if WIDTH == 4
alias V = vec4<f32>;
#else
alias V = f32;
#end
#use activation

fn function(x: V) -> V {
#if FUNCTION == activation
    return activate(x);
#end
#if FUNCTION == affine
    return x * u.a + u.b;
#end
#if FUNCTION == clamp
    // Comparisons that a NaN fails leave it as it is; min and max may not.
    let raised = select(x, V(u.a), x < V(u.a));
    return select(raised, V(u.b), raised > V(u.b));
#end
#if FUNCTION == exp
    return exp(x);
#end
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + thread;
    if (i < u.count) {
        y_put(i, function(x_get(i)));
    }
}
