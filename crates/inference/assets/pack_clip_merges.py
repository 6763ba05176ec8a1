"""Packs CLIP's merges for the binary: python pack_clip_merges.py merges.txt[.gz] clip-merges.zlib

merges.txt is the file of any full CLIP tokenizer; tests/golden/tokenizer-clip/merges.txt.gz is one. The format is
described in README.md beside this file.
"""

import gzip
import sys
import zlib

MERGES = 49152 - 256 - 2


def byte_alphabet():
    """The character that stands for each byte in merges.txt, in the order of the ids."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def main(source, target):
    opened = gzip.open if source.endswith(".gz") else open
    with opened(source, "rb") as file:
        lines = file.read().decode("utf-8").split("\n")[1 : MERGES + 1]
    characters = byte_alphabet()
    ids = {token: id for id, token in enumerate(characters + [c + "</w>" for c in characters])}
    left, right = [], []
    for line in lines:
        first, second = line.split(" ")
        left.append(ids[first])
        right.append(ids[second])
        ids[first + second] = len(ids)
    planes = [[id & 255 for id in left], [id >> 8 for id in left], [id & 255 for id in right], [id >> 8 for id in right]]
    with open(target, "wb") as file:
        file.write(zlib.compress(b"".join(map(bytes, planes)), 9))


main(*sys.argv[1:])
