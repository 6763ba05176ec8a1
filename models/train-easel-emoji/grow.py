"""Grows a trained model: more words in the tokenizer, more channels in the UNet, both starting from what was learned.

New merges are appended, so that old tokens keep their numbers; a new token's embedding starts as the mean of the pieces it joins.
A wider UNet starts with every old channel at the same relative place; channels that are new copy old ones, and what reads them
is divided by the number of copies, so that the grown network answers almost as the old one did."""
import argparse
import collections
import json
import os
import re

import torch
from safetensors.torch import load_file, save_file

import art
import captions
import model
import scenes


def corpus(artist_names):
    """Every word a caption can have, with how many phrases have it."""
    words = captions.Words()
    phrases = list(artist_names) + [w for ws in words.of.values() for w in ws]
    phrases += [p for named, somewhere, _ in scenes.PLACES.values() for p in named + somewhere]
    phrases += [t for ts in scenes.TIMES.values() for t in ts] + captions.SAID + captions.ADJECTIVES
    phrases += ["portrait wearing sunset sunrise over starry night sky with stars flat style background setting"] * 2
    phrases += [captions.plural(n) for n in artist_names if n in art.KEEP]
    return collections.Counter(w for p in phrases for w in re.findall(r"[a-z]+", p.lower()))


def new_merges(tok, counts, most):
    """Byte-pair merges that go on from the tokenizer's, most frequent first."""
    split = {w: tok.tokenize(w) for w in counts}
    split = {w: p for w, p in split.items() if len(p) > 1}
    merges = []
    while len(merges) < most:
        pairs = collections.Counter()
        for w, p in split.items():
            for pair in zip(p, p[1:]):
                pairs[pair] += counts[w]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for w, p in split.items():
            i, out = 0, []
            while i < len(p):
                if i + 1 < len(p) and (p[i], p[i + 1]) == best:
                    out.append(p[i] + p[i + 1])
                    i += 2
                else:
                    out.append(p[i])
                    i += 1
            split[w] = out
        split = {w: p for w, p in split.items() if len(p) > 1}
    return merges


def grow_tokenizer(start, end, counts, most):
    """Writes the grown tokenizer. Gives, for every new token, the old tokens it stands for."""
    tok = model.load_tokenizer(start)
    vocab = json.load(open(f"{start}/vocab.json", encoding="utf-8"))
    old = dict(vocab)
    merges = new_merges(tok, counts, most)
    made, kept = {}, []
    for a, b in merges:
        if a + b in vocab:
            continue
        vocab[a + b] = len(vocab)
        made[a + b] = made.get(a, [old.get(a)]) + made.get(b, [old.get(b)])
        kept.append((a, b))
    model.copy_tokenizer(start, end)
    with open(f"{end}/vocab.json", "w", encoding="utf-8") as f:
        json.dump(vocab, f, ensure_ascii=False)
    with open(f"{end}/merges.txt", "a", encoding="utf-8") as f:
        f.write("".join(f"{a} {b}\n" for a, b in kept))
    assert all(p is not None for ps in made.values() for p in ps)
    return made


def grow_text(w, made):
    name = next(k for k in w if k.endswith("token_embedding.weight"))
    old = w[name]
    w[name] = torch.cat([old, torch.stack([old[p].mean(0) for p in made.values()])]) if made else old
    return w


def indices(old, new):
    """For each of `new` channels the old one it copies, spread evenly."""
    return (torch.arange(new) * old) // new


def channel_map(parts):
    """The same for channels that are several blocks one after another; and how often each old channel is copied."""
    out, at = [], 0
    for old, new in parts:
        out.append(indices(old, new) + at)
        at += old
    index = torch.cat(out)
    return index, torch.bincount(index, minlength=at)[index].float()


def grow_unet(small, big, was, now):
    """State of `big` from the trained state of `small`; `was` and `now` are their channels."""
    to = dict(zip(was, now)) | {4 * was[0]: 4 * now[0]}
    skips = [(was[i], was[j]) for i, j in ((2, 2), (2, 1), (2, 1), (1, 0), (1, 0), (0, 0))]     # what each resnet on the way up joins

    def parts(name, n, m, axis):
        """How the channels along one axis of one tensor are made up."""
        if n == m:
            return [(n, m)]
        found = re.match(r"up_blocks\.(\d)\.resnets\.(\d)\.(norm1|conv1|conv_shortcut)", name)
        if found and (axis == 1 or "norm1" in name):
            hidden, skip = skips[2 * int(found[1]) + int(found[2])]
            return [(hidden, to[hidden]), (skip, to[skip])]
        if n in to and to[n] == m:
            return [(n, m)]
        k = next(k for k in (8, 4, 2) if n % k == 0 and n // k in to and to[n // k] * k == m)
        return [(n // k, m // k)] * k

    out = {}
    for name, target in big.items():
        w = small[name]
        for axis in range(min(2, w.ndim)):
            n, m = w.shape[axis], target.shape[axis]
            if n != m:
                index, copies = channel_map(parts(name, n, m, axis))
                w = w.index_select(axis, index)
                if axis == 1:
                    w = w / copies.view(1, -1, *[1] * (w.ndim - 2))
        assert w.shape == target.shape, name
        out[name] = w.contiguous()
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--start", required=True, help="folder with text.safetensors, unet.safetensors, tokenizer/")
    ap.add_argument("--end", required=True)
    ap.add_argument("--emojibase", required=True)
    ap.add_argument("--was", default="64,96,128")
    ap.add_argument("--now", default="64,128,192")
    ap.add_argument("--merges", type=int, default=1500)
    a = ap.parse_args()
    os.makedirs(a.end, exist_ok=True)
    names = {art.name_of(e["label"]) for e in json.load(open(a.emojibase)) if not art.skipped(e)}
    made = grow_tokenizer(f"{a.start}/tokenizer", f"{a.end}/tokenizer", corpus(sorted(names | set(art.people(a.emojibase, names)))), a.merges)
    save_file(grow_text(load_file(f"{a.start}/text.safetensors"), made), f"{a.end}/text.safetensors")
    was, now = [tuple(int(n) for n in s.split(",")) for s in (a.was, a.now)]
    small = load_file(f"{a.start}/unet.safetensors")
    torch.manual_seed(0)
    big = model.new_unet(now)
    state = grow_unet(small, big.state_dict(), was, now) if was != now else small
    if was != now:                              # equal copies would stay equal; a little noise parts them
        state = {k: v + (0.02 * v.std() * torch.randn_like(v) if v.ndim > 1 and v.shape != small[k].shape else 0) for k, v in state.items()}
    save_file(state, f"{a.end}/unet.safetensors")
    print(len(made), "new tokens;", sum(v.numel() for v in state.values()) / 1e6, "M parameters in the UNet")


if __name__ == "__main__":
    main()
