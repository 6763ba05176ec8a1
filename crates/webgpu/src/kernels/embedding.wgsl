// Rows of a table by id. The table may be a part of a larger one. Ids in other parts do not change the result, and the
// part at 0 writes zeros for ids outside of all parts.

#uniforms vectors: u32, first: u32, entries: u32, total: u32, count: u32
#input table: T by WIDTH
// (entries, width)
#input ids: u32 by 1
#output y: Y by WIDTH
// (ids, width)

#use each

fn each(i: u32) {
    let id = ids_get(i / u.vectors);
    if (id >= u.first && id - u.first < u.entries) {
        y_put(i, table_get((id - u.first) * u.vectors + i % u.vectors));
    } else if (id >= u.total && u.first == 0u) {
        y_put(i, V());
    }
}
