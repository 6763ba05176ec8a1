// Depthwise convolution (https://arxiv.org/abs/1704.04861): every channel has a kernel of its own.

#uniforms count: u32, channels: u32, height: u32, width: u32, out_height: u32, out_width: u32, kernel_height: u32, kernel_width: u32, stride: u32, padding: u32
#input x: X by WIDTH
// (batch, height, width, channels)
#input weight: W by WIDTH
// (kernel height, kernel width, channels)
#input bias: B by WIDTH
// (channels)
#output y: Y by WIDTH
// (batch, out height, out width, channels)

#use activation
#use each

fn each(i: u32) {
    let channel = i % u.channels;
    let pixel = i / u.channels;
    let column = pixel % u.out_width * u.stride;
    let line = pixel / u.out_width;
    let row = line % u.out_height * u.stride;
    let picture = line / u.out_height * u.height;
    var sum = bias_get(channel);
    for (var tap = 0u; tap < u.kernel_height * u.kernel_width; tap++) {
        // Below zero wraps to far beyond the picture: padding either way.
        let at_row = row + tap / u.kernel_width - u.padding;
        let at_column = column + tap % u.kernel_width - u.padding;
        if (at_row < u.height && at_column < u.width) {
            let at = ((picture + at_row) * u.width + at_column) * u.channels + channel;
            sum += x_get(at) * weight_get(tap * u.channels + channel);
        }
    }
    y_put(i, activate(sum));
}
