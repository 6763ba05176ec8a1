// Arithmetic between two arrays. The right one is broadcast along axes with stride 0. Axes are in innermost-first order
// and counted in vectors. `first` is the start of the left one in the whole array.

#uniforms sizes: array<vec4<u32>, 2>, strides: array<vec4<u32>, 2>, count: u32, first: u32
#input a: A by WIDTH
#if SPLAT
#input b: B by 1
#else
#input b: B by WIDTH
#end
#output y: Y by WIDTH

#use each

fn each(i: u32) {
    var rest = u.first + i;
    var at = 0u;
#for axis in 0..AXES
    at += rest % u.sizes[$axisu / 4u][$axisu % 4u] * u.strides[$axisu / 4u][$axisu % 4u];
    rest /= u.sizes[$axisu / 4u][$axisu % 4u];
#end
    let a = a_get(i);
    let b = V(b_get(at));
#if FUNCTION == add
    y_put(i, a + b);
#end
#if FUNCTION == sub
    y_put(i, a - b);
#end
#if FUNCTION == mul
    y_put(i, a * b);
#end
#if FUNCTION == div
    y_put(i, a / b);
#end
}
