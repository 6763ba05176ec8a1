// A function of each element: an activation, or a function for samplers.

#uniforms count: u32, a: f32, b: f32
#input x: X by WIDTH
#output y: Y by WIDTH

#use activation

fn function(x: V) -> V {
#if FUNCTION == activation
    return activate(x);
#end
#if FUNCTION == affine
    return x * u.a + u.b;
#end
#if FUNCTION == clamp
    // Comparisons with a NaN are false, so it stays; min and max might not keep it.
    let raised = select(x, V(u.a), x < V(u.a));
    return select(raised, V(u.b), raised > V(u.b));
#end
#if FUNCTION == exp
    return exp(x);
#end
}

#use each

fn each(i: u32) {
    y_put(i, function(x_get(i)));
}
