// Rows of a table by id. The table may be one part of a larger one: ids of other parts leave the result alone, and the part
// at 0 writes zeros for ids that no part has.

#uniforms vectors: u32, first: u32, entries: u32, total: u32, count: u32
#input table: T by WIDTH
// (entries, width)
#input ids: u32 by 1
#output y: Y by WIDTH
// (ids, width)

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
    let id = ids_get(i / u.vectors);
    if (id >= u.first && id - u.first < u.entries) {
        y_put(i, table_get((id - u.first) * u.vectors + i % u.vectors));
    } else if (id >= u.total && u.first == 0u) {
#if WIDTH == 4
        y_put(i, vec4<f32>());
#else
        y_put(i, 0.0);
#end
    }
}
