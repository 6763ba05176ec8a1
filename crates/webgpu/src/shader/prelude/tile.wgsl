// A register-tiled product: each workgroup computes TILE_M x TILE_N results, each invocation ROWS x COLUMNS of them.
//
// Both operands are read along K, four numbers at a time, and stored in this order in workgroup memory. The kernel that
// uses this module defines the operands: Row and locate (a row of the left operand), Depth, depth_start and
// depth_advance (a position along K), x_load, w_load, and store for the results.

const LOAD_ROWS: u32 = THREADS / VECTORS;
const THREADS_N: u32 = TILE_N / COLUMNS;

var<workgroup> xs: array<vec4<f32>, TILE_M * VECTORS>;
var<workgroup> ws: array<vec4<f32>, TILE_N * VECTORS>;

// The position of vector `v` of a row, permuted so that eight neighbouring rows are in different banks.
fn slot(row: u32, v: u32) -> u32 {
    return row * VECTORS + (v ^ ((row >> 1u) & 3u));
}

#use multiply_add

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
#use tile_place

    // Thirty-two neighbouring invocations cover 4 rows of 8 columns.
    let wave = thread / 32u;
    let tx = thread % 8u + wave % (THREADS_N / 8u) * 8u;
    let ty = thread / 8u % 4u + wave / (THREADS_N / 8u) * 4u;

#use tile_load
#for i in 0..ROWS
#for j in 0..COLUMNS
    var sum$i_$j = 0.0;
#end
#end
    for (var step = 0u; step < u.steps; step++) {
        workgroupBarrier();
#for i in 0..X_LOADS
        xs[slot(load_row + $iu * LOAD_ROWS, load_vector)] = x$i;
#end
#for j in 0..W_LOADS
        ws[slot(load_row + $ju * LOAD_ROWS, load_vector)] = w$j;
#end
        workgroupBarrier();
#use tile_next
        for (var v = 0u; v < VECTORS; v++) {
            // The rows of an invocation are a multiple of 8 apart, so that all have the same permutation.
            let x_slot = slot(ty, v);
            let w_slot = slot(tx, v);
#for i in 0..ROWS
            let a$i = xs[x_slot + $iu * (TILE_M / ROWS * VECTORS)];
#end
#for j in 0..COLUMNS
            let b$j = ws[w_slot + $ju * (THREADS_N * VECTORS)];
#for i in 0..ROWS
            sum$i_$j = multiply_add(a$i, b$j, sum$i_$j);
#end
#end
        }
    }
#for i in 0..ROWS
#for j in 0..COLUMNS
    store(first_row + ty + $iu * (TILE_M / ROWS), first_column + tx + $ju * THREADS_N, sum$i_$j);
#end
#end
}
