// A linear combination of arrays of one shape, for the steps of samplers.

#uniforms scales: vec4<f32>, count: u32
#for i in 0..TERMS
#input x$i: X$i by WIDTH
#end
#output y: Y by WIDTH

#use each

fn each(i: u32) {
    var sum = x0_get(i) * u.scales[0];
#for i in 1..TERMS
    sum += x$i_get(i) * u.scales[$i];
#end
    y_put(i, sum);
}
