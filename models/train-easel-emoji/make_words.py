"""Proposes, for frequent picturable nouns, the nearest emoji by WordNet and by a sentence embedding; the result is checked by eye.

The words come in the order of the embedding model's vocabulary, which is the order of their frequency. Writes word, emoji,
how it was found and how near, by tabs. words.txt is what was left of this, corrected by hand."""
import argparse

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

import art

PICTURABLE = {5: "animal", 6: "artifact", 8: "body", 13: "food", 17: "object", 18: "person", 19: "phenomenon", 20: "plant", 27: "substance"}


class WordNet:
    """The nouns: synsets with their words, kind, gloss and the synsets above them."""

    def __init__(self, folder):
        self.words, self.kind, self.gloss, self.above, self.senses = {}, {}, {}, {}, {}
        for line in open(f"{folder}/data.noun", encoding="utf-8"):
            if line.startswith("  "):
                continue
            left, gloss = line.split(" | ", 1)
            f = left.split()
            count = int(f[3], 16)
            rest = f[4 + 2 * count:]
            pointers = [(rest[1 + 4 * i], rest[2 + 4 * i]) for i in range(int(rest[0]))]
            self.words[f[0]] = [f[4 + 2 * i].lower().replace("_", " ") for i in range(count)]
            self.kind[f[0]] = int(f[1])
            self.gloss[f[0]] = gloss.split(";")[0].strip()
            self.above[f[0]] = [to for mark, to in pointers if mark in ("@", "@i")]
        for line in open(f"{folder}/index.noun", encoding="utf-8"):
            if not line.startswith("  "):
                f = line.split()
                self.senses[f[0].replace("_", " ")] = f[-int(f[2]):]

    def sense(self, word):
        """The first of the three commonest senses that can be pictured."""
        for s in self.senses.get(word, [])[:3]:
            if self.kind[s] in PICTURABLE:
                return s
        return None

    def chain(self, s, depth=4):
        """The synset and those above it, nearest first."""
        out, edge = [(s, 0)], [s]
        for d in range(1, depth + 1):
            edge = [a for e in edge for a in self.above[e]]
            out += [(e, d) for e in edge]
        return out


@torch.no_grad()
def embed(folder, texts):
    tok, net = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    out = []
    for i in range(0, len(texts), 64):
        x = tok(texts[i:i + 64], padding=True, truncation=True, max_length=40, return_tensors="pt")
        h = net(**x).last_hidden_state
        m = x.attention_mask[..., None].float()
        v = (h * m).sum(1) / m.sum(1)
        out.append(torch.nn.functional.normalize(v, dim=1))
    return torch.cat(out).numpy(), tok


def main():
    ap = argparse.ArgumentParser()
    for n in ("font", "emojibase", "wordnet", "minilm", "out"):
        ap.add_argument("--" + n, required=True)
    a = ap.parse_args()
    em, net = art.font_emoji(a.font, a.emojibase), WordNet(a.wordnet)
    synsets = {}
    for i, e in enumerate(em):
        for n in (e["name"], e["name"].split()[-1] if e["name"] in art.KEEP else ""):
            s = net.sense(n)
            if s:
                synsets.setdefault(s, []).append((n != e["name"], i))
    tags = {}
    for i, e in enumerate(em):
        for t in e["tags"]:
            tags.setdefault(t.lower(), []).append(i)
    _, tok = embed(a.minilm, ["a"])
    vocabulary = [w for w, _ in sorted(tok.get_vocab().items(), key=lambda p: p[1]) if w.isalpha() and len(w) > 2]
    words = [w for w in vocabulary if net.sense(w)]
    words += sorted({w for s in synsets for w in net.words[s] if " " in w or w not in set(words)} - set(words))
    words = [w for w in words if w not in {e["name"] for e in em}]
    ev, _ = embed(a.minilm, [e["name"] + ": " + ", ".join(e["tags"][:8]) for e in em])
    wv, _ = embed(a.minilm, [w + ": " + net.gloss[net.sense(w)] if net.sense(w) else w for w in words])
    near = wv @ ev.T
    with open(a.out, "w", encoding="utf-8") as f:
        for w, row in zip(words, near):
            best = int(np.argmax(row))
            way, to = "embedding", best
            found = [(d, miss, -row[i], i) for s, d in net.chain(net.sense(w)) for miss, i in synsets.get(s, [])] if net.sense(w) else []
            if found:
                d, _, _, i = min(found)
                way, to = f"wordnet{d}", i
            elif w in tags and len(tags[w]) <= 3:
                way, to = "keyword", max(tags[w], key=lambda i: row[i])
            f.write(f"{w}\t{em[to]['name']}\t{way}\t{row[to]:.2f}\t{em[best]['name']}\t{row[best]:.2f}\n")


if __name__ == "__main__":
    main()
