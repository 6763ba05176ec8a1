// The product of `tile.wgsl` on cooperative matrices (tensor cores), 32 numbers along K per step: both operands are
// rounded to f16 in workgroup memory, sums are f32. Each subgroup computes FRAGMENTS_M x FRAGMENTS_N matrices of SIZE x
// SIZE.

const LOAD_ROWS: u32 = THREADS / VECTORS;
// Padded so that neighbouring rows begin in different banks.
const ROW: u32 = VECTORS * 4u + 8u;
const SUBGROUPS_N: u32 = TILE_N / (FRAGMENTS_N * SIZE);

#if SIZE == 16
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;
#else
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
#end

var<workgroup> xs: array<f16, TILE_M * ROW>;
var<workgroup> ws: array<f16, TILE_N * ROW>;
var<workgroup> sums: array<f32, THREADS / LANES * SIZE * SIZE>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
#use tile_place
    let left = subgroup / SUBGROUPS_N * (FRAGMENTS_M * SIZE);
    let right = subgroup % SUBGROUPS_N * (FRAGMENTS_N * SIZE);

#use tile_load
#for i in 0..FRAGMENTS_M
#for j in 0..FRAGMENTS_N
    var sum$i_$j = Sum();
#end
#end
    for (var step = 0u; step < u.steps; step++) {
        workgroupBarrier();
#for i in 0..X_LOADS
#for c in 0..4
        xs[(load_row + $iu * LOAD_ROWS) * ROW + load_vector * 4u + $cu] = f16(x$i[$c]);
#end
#end
#for j in 0..W_LOADS
#for c in 0..4
        ws[(load_row + $ju * LOAD_ROWS) * ROW + load_vector * 4u + $cu] = f16(w$j[$c]);
#end
#end
        workgroupBarrier();
#use tile_next
        for (var k = 0u; k < VECTORS * 4u; k += SIZE) {
#for i in 0..FRAGMENTS_M
            let a$i = coopLoadT<Left>(&xs[(left + $iu * SIZE) * ROW + k], ROW);
#end
#for j in 0..FRAGMENTS_N
            let b$j = coopLoad<Right>(&ws[(right + $ju * SIZE) * ROW + k], ROW);
#for i in 0..FRAGMENTS_M
            sum$i_$j = coopMultiplyAdd(a$i, b$j, sum$i_$j);
#end
#end
        }
    }
#for i in 0..FRAGMENTS_M
#for j in 0..FRAGMENTS_N
    coopStoreT(sum$i_$j, &sums[subgroup * (SIZE * SIZE)], SIZE);
    workgroupBarrier();
    for (var at = lane; at < SIZE * SIZE; at += LANES) {
        let m = first_row + left + $iu * SIZE + at / SIZE;
        store(m, first_column + right + $ju * SIZE + at % SIZE, sums[subgroup * (SIZE * SIZE) + at]);
    }
    workgroupBarrier();
#end
#end
}
