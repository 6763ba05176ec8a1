// GGUF's Q8_0, blocks of an f16 scale and 32 i8 in 34 bytes, to aligned arrays of scales and of quants. Two blocks are 17
// words, and two scales are one.

#uniforms count: u32, words: u32
#input blocks: u32 by 1
// (pairs, 17); the last pair may be half full
#output quants: u32 by 1
// (pairs, 16)
#output scales: u32 by 1
// (pairs)

fn word_at(i: u32) -> u32 {
    if (i < u.words) {
        return blocks_get(i);
    }
    return 0u;
}

#use each

fn each(pair: u32) {
    var word = blocks_get(pair * 17u);
    var scales = word & 0xffffu;
#for i in 0..8
    {
        let next = word_at(pair * 17u + $iu + 1u);
        quants_put(pair * 16u + $iu, (word >> 16u) | (next << 16u));
        word = next;
    }
#end
    scales_put(pair, scales | (word & 0xffff0000u));
#for i in 8..16
    quants_put(pair * 16u + $iu, word_at(pair * 17u + $iu + 1u));
#end
}
