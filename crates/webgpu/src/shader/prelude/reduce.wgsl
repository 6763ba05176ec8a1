// Runs the kernel's `reduce(id, thread, subgroup)` for each reduction in a workgroup of THREADS, and sums one number
// per invocation.

var<workgroup> partial: array<f32, THREADS>;

#if SUBGROUPS
fn workgroup_sum(value: f32, thread: u32, subgroup: u32) -> f32 {
    let sum = subgroupAdd(value);
    workgroupBarrier();
    if (thread % subgroup == 0u) {
        partial[thread / subgroup] = sum;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < (THREADS + subgroup - 1u) / subgroup; i++) {
        total += partial[i];
    }
    return total;
}
#else
fn workgroup_sum(value: f32, thread: u32, subgroup: u32) -> f32 {
    workgroupBarrier();
    partial[thread] = value;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (thread < half) {
            partial[thread] += partial[thread + half];
        }
    }
    workgroupBarrier();
    return partial[0];
}
#end

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
#if SUBGROUPS
    @builtin(subgroup_size) subgroup: u32,
#end
) {
#if !SUBGROUPS
    let subgroup = 1u;
#end
    reduce(group.x + group.y * groups.x, thread, subgroup);
}
