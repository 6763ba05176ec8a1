// Mean and standard deviation (with n - 1) of each picture, one workgroup each.

#uniforms pictures: u32, elements: u32
#input x: X by 1
// (pictures, elements)
#output means: Y by 1
// (pictures)
#output deviations: Y by 1
// (pictures)

#use reduce

fn reduce(picture: u32, thread: u32, subgroup: u32) {
    if (picture >= u.pictures) {
        return;
    }
    let base = picture * u.elements;
    var sum = 0.0;
    for (var i = thread; i < u.elements; i += THREADS) {
        sum += x_get(base + i);
    }
    let mean = workgroup_sum(sum, thread, subgroup) / f32(u.elements);
    sum = 0.0;
    for (var i = thread; i < u.elements; i += THREADS) {
        let deviation = x_get(base + i) - mean;
        sum += deviation * deviation;
    }
    let squares = workgroup_sum(sum, thread, subgroup);
    if (thread == 0u) {
        means_put(picture, mean);
        deviations_put(picture, sqrt(squares / f32(u.elements - 1u)));
    }
}
