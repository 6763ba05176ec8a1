// softmax(q k^T / sqrt(width)) v for each head, a tile of queries per workgroup, with a running softmax over tiles of
// keys (FlashAttention, https://arxiv.org/abs/2205.14135). The scores only exist tile by tile, in workgroup memory.
//
// In the bound arrays, queries start at row `query_row` and keys at `key_row`. `position` is that of the first query in
// its entry of the batch. LANES invocations share a query row: each computes the scores of four neighbouring keys, and
// every LANES-th vector of the result.

#uniforms queries: u32, keys: u32, heads: u32, width: u32, scale: f32, tiles: u32, first_tile: u32, end_tile: u32, query_row: u32, key_row: u32, position: u32, all_queries: u32, grid_width: u32
#input q: Q by WIDTH
// (batch, queries, heads, width)
#input k: K by WIDTH
// (batch, keys, heads, width)
#input v: K by WIDTH
// (batch, keys, heads, width)
#if BIAS
#input bias: B by 1
// (heads, all queries, keys), added to the scaled products
#end
#if RELATIVE
// Decomposed relative positions (https://arxiv.org/abs/2112.01526) on a grid `grid_width` wide: for each query a number for
// every distance in rows and in columns, both added to the scaled products.
#input rows: B by 1
// (batch, queries, heads, 2 * grid height - 1)
#input columns: B by 1
// (batch, queries, heads, 2 * grid width - 1)
#end
#output y: Y by WIDTH
// (batch, queries, heads, width)

const GROUPS: u32 = THREADS / LANES;
const QUERIES: u32 = GROUPS * ROWS;
const KEYS: u32 = LANES * 4u;
// Vectors along the width that are staged at a time.
const VECTORS: u32 = 4u;
const LOAD_ROWS: u32 = THREADS / VECTORS;
const MASKED: f32 = -1e30;
const LOG2_E: f32 = 1.4426950408889634;

var<workgroup> qs: array<vec4<f32>, QUERIES * VECTORS>;
var<workgroup> ks: array<vec4<f32>, KEYS * VECTORS>;
var<workgroup> weights: array<vec4<f32>, QUERIES * LANES>;
var<workgroup> partial: array<f32, QUERIES * LANES>;

// Permuted so that neighbouring rows are in different banks.
fn slot(row: u32, vector: u32) -> u32 {
    return row * VECTORS + (vector ^ ((row >> 1u) & 3u));
}

fn weight_slot(row: u32, vector: u32) -> u32 {
    return row * LANES + (vector ^ (row & 7u));
}

// `row` is a row of [batch * tokens, heads], `vector` a vector along the width, padded with zeros.
#for a in q k v
fn $a_load(row: u32, vector: u32) -> vec4<f32> {
#if WIDTH == 4
    return $a_get(row * (u.width / 4u) + vector);
#else
    var value = vec4<f32>();
#for i in 0..4
    if (vector * 4u + $iu < u.width) {
        value[$i] = $a_get(row * u.width + vector * 4u + $iu);
    }
#end
    return value;
#end
}

#end
fn store(row: u32, vector: u32, value: vec4<f32>) {
#if WIDTH == 4
    y_put(row * (u.width / 4u) + vector, value);
#else
#for i in 0..4
    if (vector * 4u + $iu < u.width) {
        y_put(row * u.width + vector * 4u + $iu, value[$i]);
    }
#end
#end
}

#use multiply_add

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = u.first_tile + group.x + group.y * groups.x;
    if (tile >= u.end_tile) {
        return;
    }
    let head = tile / u.tiles % u.heads;
    let batch = tile / u.tiles / u.heads;
    let first_query = tile % u.tiles * QUERIES;
    let vectors = (u.width + 3u) / 4u;
    let lane = thread % LANES;
    let y_row = thread / LANES;
    let stage_vector = thread % VECTORS;
    let stage_row = thread / VECTORS;
#for i in 0..ROWS
    var top$i = MASKED;
    var sum$i = 0.0;
#for c in 0..VALUES
    var out$i_$c = vec4<f32>();
#end
#end
#if CAUSAL
    let end_key = min(u.keys, u.position + first_query + QUERIES);
#else
    let end_key = u.keys;
#end
    for (var first_key = 0u; first_key < end_key; first_key += KEYS) {
        // Scores of this tile: queries times keys, along the width.
#for i in 0..ROWS
        var score$i = vec4<f32>();
#end
        for (var first = 0u; first < vectors; first += VECTORS) {
            let vector = first + stage_vector;
            workgroupBarrier();
#for i in 0..Q_LOADS
            {
                let row = stage_row + $iu * LOAD_ROWS;
                var value = vec4<f32>();
                if (first_query + row < u.queries && vector < vectors) {
                    value = q_load((u.query_row + batch * u.queries + first_query + row) * u.heads + head, vector) * u.scale;
                }
                if (row < QUERIES) {
                    qs[slot(row, stage_vector)] = value;
                }
            }
#end
            // Key 4 * lane + j is stored in row j * LANES + lane, so that lanes read neighbouring rows.
#for i in 0..K_LOADS
            {
                let row = stage_row + $iu * LOAD_ROWS;
                let key = first_key + row % LANES * 4u + row / LANES;
                var value = vec4<f32>();
                if (key < u.keys && vector < vectors) {
                    value = k_load((u.key_row + batch * u.keys + key) * u.heads + head, vector);
                }
                ks[slot(row, stage_vector)] = value;
            }
#end
            workgroupBarrier();
#for d in 0..4
            {
#for j in 0..4
                let k$j = ks[slot($ju * LANES + lane, $du)];
#end
#for i in 0..ROWS
                let q$i = qs[slot(y_row + $iu * GROUPS, $du)];
#for j in 0..4
                score$i[$j] = multiply_add(q$i, k$j, score$i[$j]);
#end
#end
            }
#end
        }
        let key = first_key + lane * 4u;
#for i in 0..ROWS
#if BIAS
        {
            let row = min(first_query + y_row + $iu * GROUPS, u.queries - 1u);
            let at = (head * u.all_queries + u.position + row) * u.keys;
#for j in 0..4
            score$i[$j] += bias_get(at + min(key + $ju, u.keys - 1u)) * LOG2_E;
#end
        }
#end
#if RELATIVE
        {
            let row = min(first_query + y_row + $iu * GROUPS, u.queries - 1u);
            let at = (u.query_row + batch * u.queries + row) * u.heads + head;
            let height = u.keys / u.grid_width;
            let query = u.position + row;
            let of_rows = at * (2u * height - 1u) + query / u.grid_width + height - 1u;
            let of_columns = at * (2u * u.grid_width - 1u) + query % u.grid_width + u.grid_width - 1u;
#for j in 0..4
            {
                let other = min(key + $ju, u.keys - 1u);
                let distances = rows_get(of_rows - other / u.grid_width) + columns_get(of_columns - other % u.grid_width);
                score$i[$j] += distances * LOG2_E;
            }
#end
        }
#end
#for j in 0..4
#if CAUSAL
        if (key + $ju >= u.keys || key + $ju > u.position + first_query + y_row + $iu * GROUPS) {
#else
        if (key + $ju >= u.keys) {
#end
            score$i[$j] = MASKED;
        }
#end
        partial[(y_row + $iu * GROUPS) * LANES + lane] =
            max(max(score$i.x, score$i.y), max(score$i.z, score$i.w));
#end
        workgroupBarrier();
        // Updates the maximum, and rescales the previous sums.
#for i in 0..ROWS
        {
            let row = y_row + $iu * GROUPS;
            var top = top$i;
            for (var other = 0u; other < LANES; other++) {
                top = max(top, partial[row * LANES + other]);
            }
            let shrink = exp2(top$i - top);
            top$i = top;
            let weight = exp2(score$i - top);
            weights[weight_slot(row, lane)] = weight;
            sum$i = sum$i * shrink + (weight.x + weight.y + weight.z + weight.w);
#for c in 0..VALUES
            out$i_$c *= shrink;
#end
        }
#end
        workgroupBarrier();
        for (var block = 0u; block < LANES; block++) {
#for i in 0..ROWS
            let w$i = weights[weight_slot(y_row + $iu * GROUPS, block)];
#end
#for j in 0..4
            {
                // Keys past the last one read the last one and get no weight.
                let key = min(first_key + block * 4u + $ju, u.keys - 1u);
                let row = (u.key_row + batch * u.keys + key) * u.heads + head;
#for c in 0..VALUES
                let v$c = v_load(row, min(lane + $cu * LANES, vectors - 1u));
#for i in 0..ROWS
                out$i_$c = fma(vec4<f32>(w$i[$j]), v$c, out$i_$c);
#end
#end
            }
#end
        }
    }
    workgroupBarrier();
#for i in 0..ROWS
    partial[(y_row + $iu * GROUPS) * LANES + lane] = sum$i;
#end
    workgroupBarrier();
#for i in 0..ROWS
    {
        let row = y_row + $iu * GROUPS;
        var sum = 0.0;
        for (var other = 0u; other < LANES; other++) {
            sum += partial[row * LANES + other];
        }
        if (first_query + row < u.queries) {
#for c in 0..VALUES
            if (lane + $cu * LANES < vectors) {
                store((u.query_row + batch * u.queries + first_query + row) * u.heads + head, lane + $cu * LANES, out$i_$c / sum);
            }
#end
        }
    }
#end
}
