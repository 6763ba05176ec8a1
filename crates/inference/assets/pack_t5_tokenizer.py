"""Packs T5's tokenizer for the binary: python pack_t5_tokenizer.py tokenizer.json t5-tokenizer.json.zlib

tokenizer.json is that of google/t5-v1_1-xxl in any form. Its rules become those of the folders tokenizer_2 of FLUX.1 and
tokenizer_3 of Stable Diffusion 3, which transformers writes today; README.md beside this file says more.
"""

import json
import sys
import zlib

SPACE = "\u2581"


def main(source, target):
    with open(source, encoding="utf-8") as file:
        read = json.load(file)
    table = next(step for step in read["normalizer"]["normalizers"] if step["type"] == "Precompiled")
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    spaces = [
        {"type": "Strip", "strip_left": False, "strip_right": True},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": SPACE},
    ]
    read["normalizer"]["normalizers"] = [table, *spaces]
    read |= {"pre_tokenizer": metaspace, "decoder": metaspace}
    text = json.dumps(read, separators=(",", ":"), ensure_ascii=False)
    with open(target, "wb") as file:
        file.write(zlib.compress(text.encode(), 9))


main(*sys.argv[1:])
