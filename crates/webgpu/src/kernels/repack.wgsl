// Repacks GGUF's blocks into units of words, which `shader/blocks.rs` describes. Each invocation writes one unit.

#uniforms count: u32, first: u32, words: u32
#input raw: u32 by 1
// (words): consecutive whole blocks
#output y: u32 by 1
// (units, WORDS), from unit `first`

// A file may end in the middle of a word or unit.
fn raw_word(i: u32) -> u32 {
    if (i < u.words) {
        return raw_get(i);
    }
    return 0u;
}

// Four bytes at any offset.
fn word_at(byte: u32) -> u32 {
    let shift = byte % 4u * 8u;
    let low = raw_word(byte / 4u);
    if (shift == 0u) {
        return low;
    }
    return (low >> shift) | (raw_word(byte / 4u + 1u) << (32u - shift));
}

// Some bits of the values 4v to 4v + 3 of a block, in the low bits of the four bytes of a word.
fn four(block: u32, at: u32, bits: u32, run: u32, v: u32) -> u32 {
    let fields = 8u / bits;
    let mask = (1u << bits) - 1u;
    if (run == 1u) {
        // Neighbours share a byte.
        let packed = word_at(block + at + v * bits / 2u) >> (v * bits % 2u * 4u);
        var word = 0u;
        for (var i = 0u; i < 4u; i++) {
            word |= ((packed >> (i * bits)) & mask) << (i * 8u);
        }
        return word;
    }
    let of_a_run = v * 4u % (run * fields);
    let byte = v * 4u / (run * fields) * run + of_a_run % run;
    return (word_at(block + at + byte) >> (of_a_run / run * bits)) & (mask * 0x01010101u);
}

#use each

fn each(i: u32) {
    let unit = (u.first + i) * WORDS;
    let block = i * BLOCKS * BYTES;
#if BLOCKS == 2
    y_put(unit, (word_at(block + HALVES) & 0xffffu) | (word_at(block + BYTES + HALVES) << 16u));
#else
    y_put(unit, word_at(block + HALVES));
#end
#if SIX_BITS
    // The last four groups have their low bits together, and their high bits above the six bits of the first four.
    let scales = word_at(block + SIX_BITS);
    let least = word_at(block + SIX_BITS + 4u);
    let low = word_at(block + SIX_BITS + 8u);
    y_put(unit + 1u, scales & 0x3f3f3f3fu);
    y_put(unit + 2u, (low & 0x0f0f0f0fu) | (((scales >> 6u) & 0x03030303u) << 4u));
    y_put(unit + 3u, least & 0x3f3f3f3fu);
    y_put(unit + 4u, ((low >> 4u) & 0x0f0f0f0fu) | (((least >> 6u) & 0x03030303u) << 4u));
#end
#if SCALE_PLANES
    for (var w = 0u; w < SCALE_WORDS; w++) {
        var scales = four(block, SCALE_AT0, SCALE_BITS0, SCALE_RUN0, w);
#if SCALE_PLANES == 2
        scales |= four(block, SCALE_AT1, SCALE_BITS1, SCALE_RUN1, w) << SCALE_BITS0;
#end
        y_put(unit + 1u + w, scales ^ SCALE_FLIP);
    }
#end
#for p in 0..PLANES
    for (var w = 0u; w < UNIT * BITS$p / 32u; w++) {
        var word = 0u;
        for (var field = 0u; field < 8u / BITS$p; field++) {
            let v = w * (8u / BITS$p) + field;
            let source = block + v / (LENGTH / 4u) * BYTES;
            word |= four(source, AT$p, BITS$p, RUN$p, v % (LENGTH / 4u)) << (field * BITS$p);
        }
        y_put(unit + START$p + w, word ^ FLIP$p);
    }
#end
}
