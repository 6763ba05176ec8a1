"""Quantised blocks of random bits and the numbers that the Python package `gguf` (ggml's own) reads from them.

    python goldgen/gguf_blocks.py ../golden/gguf-blocks      (with: pip install gguf numpy)

One file for each format, `NAME.bin`: a number of blocks, then as many times the block's length of little-endian f32.
Scales are finite: a random half-precision number that is not, loses the top bit of its exponent.
"""

import pathlib
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

# Where the halves of a block are: scales, and least values.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}
ELEMENTS = 2048


def main(folder):
    rng = np.random.default_rng(15)
    for name, halves in HALVES.items():
        kind = GGMLQuantizationType[name]
        length, size = GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (ELEMENTS // length, size), dtype=np.uint8)
        for at in halves:
            infinite = blocks[:, at + 1] & 0x7C == 0x7C
            blocks[infinite, at + 1] &= 0xBF
        values = dequantize(blocks, kind).astype("<f4")
        assert np.isfinite(values).all() and values.size == ELEMENTS
        (folder / f"{name}.bin").write_bytes(blocks.tobytes() + values.tobytes())


main(pathlib.Path(sys.argv[1]))
