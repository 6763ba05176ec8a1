// Activation functions on V, which is f32 or vec4<f32>. ACTIVATION names the one that the kernel applies. All of them
// propagate NaN.

fn sigmoid(x: V) -> V {
    return 1.0 / (1.0 + exp(-x));
}

#if ACTIVATION == gelu
// x * Phi(x). The tail Phi(-|x|) comes without cancellation from an erfc in the form of Abramowitz and Stegun 7.1.26, with
// the coefficients of easel-cpu (relative error 2e-8). Its e^(-x^2 / 2) is that of a coarse x, whose square is exact, times
// that of the rest: a rounded square would be off by its own size in the exponent.
fn gelu(x: V) -> V {
    let far = abs(x);
    let coarse = floor(min(far, V(64.0)) * 16.0) * 0.0625;
    let t = 1.0 / (far * 0.21213203 + 1.0);
    var sum = V(-0.12925301);
    sum = sum * t + 0.4843009;
    sum = sum * t - 0.5097711;
    sum = sum * t + 0.54496586;
    sum = sum * t - 0.09282557;
    sum = sum * t + 0.21418132;
    sum = sum * t + 0.14852126;
    sum = sum * t + 0.17069093;
    sum = sum * t + 0.16918935;
    let power = exp(-0.5 * coarse * coarse) * exp((coarse - far) * (0.5 * coarse + 0.5 * far));
    let tail = x * 0.5 * (power * sum * t);
    return select(x - tail, tail, x < V(0.0));
}
#end

#if ACTIVATION == tanh
// Near zero it is the polynomial of Cephes' tanhf; elsewhere 1 - 2 / (e^2x + 1), which is too inaccurate near zero.
fn hyperbolic_tangent(x: V) -> V {
    let t = abs(x);
    let s = x * x;
    var sum = V(-5.7049887e-3);
    sum = sum * s + 2.0639086e-2;
    sum = sum * s - 5.373972e-2;
    sum = sum * s + 0.13331442;
    sum = sum * s - 0.3333328;
    let far = 1.0 - 2.0 / (exp(2.0 * t) + 1.0);
    // A NaN fails the comparison and takes the polynomial, because not every device's exp keeps it.
    return select(sum * s * x + x, select(far, -far, x < V(0.0)), t >= V(0.625));
}
#end

fn activate(x: V) -> V {
#if ACTIVATION == relu
    return select(x, V(0.0), x < V(0.0));
#end
#if ACTIVATION == silu
    return x * sigmoid(x);
#end
#if ACTIVATION == gelu
    return gelu(x);
#end
#if ACTIVATION == gelu_tanh
    return x * sigmoid(1.5957691216 * (x + 0.044715 * x * x * x));
#end
#if ACTIVATION == quick_gelu
    return x * sigmoid(1.702 * x);
#end
#if ACTIVATION == tanh
    return hyperbolic_tangent(x);
#end
#if ACTIVATION == sigmoid
    // A NaN fails both comparisons, because not every device's exp keeps it.
    return select(x, sigmoid(x), (x <= V(0.0)) | (x > V(0.0)));
#end
#if ACTIVATION == none
    return x;
#end
}
