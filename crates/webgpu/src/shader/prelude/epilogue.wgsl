// Stores activation(product + bias + residual) at row m and column n of a result whose rows are `u.stride` wide and
// whose columns begin at `u.column`.

#if BIAS
#input bias: B by 1
// (stride)
#end
#if RESIDUAL
#input residual: R by 1
// (m, stride)
#end
#output y: Y by 1
// (m, stride)

alias V = f32;
#use activation

fn store(m: u32, n: u32, product: f32) {
    if (m >= u.m || n >= u.n) {
        return;
    }
    var value = product;
#if BIAS
    value += bias_get(u.column + n);
#end
#if RESIDUAL
    value += residual_get(m * u.stride + u.column + n);
#end
    y_put(m * u.stride + u.column + n, activate(value));
}
