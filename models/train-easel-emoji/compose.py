"""Composes training pairs from encoded parts: one thing large, small at a place, copies, two things; and whole scenes as they are."""
import glob
import itertools
import random

import torch

import art
from captions import Words, caption

PLACES = {"on the left": (3, 0), "on the right": (3, 6), "at the top": (0, 3), "at the bottom": (6, 3), "in the middle": (3, 3),
          "in the top left corner": (0, 0), "in the top right corner": (0, 6), "in the bottom left corner": (6, 0), "in the bottom right corner": (6, 6)}
COPIES = {"two": [(3, 0), (3, 6)], "three": [(0, 3), (6, 0), (6, 6)], "four": [(0, 0), (0, 6), (6, 0), (6, 6)]}
MIX = {"one": 0.34, "shape": 0.03, "flat": 0.05, "tint": 0.04, "wearing": 0.05, "small": 0.04, "copies": 0.05, "pair": 0.15, "scene": 0.25}


class Composer:
    """batch(n) gives n latents of 4 x 16 x 16 and their captions. `folder` holds what pool.py wrote."""

    def __init__(self, folder, seed=0):
        self.folder, self.rng, self.words = folder, random.Random(seed), Words()
        small = torch.load(f"{folder}/tiles.pt", weights_only=False)
        self.index = small["index"]             # the place of an emoji in the font's list, by which pairs are held out
        self.ground = {c: z.float() for c, z in small["ground"].items()}
        self.tiles, self.by_color = {}, {}
        for z, (name, color) in zip(small["z"], small["spec"]):
            self.tiles[name, color] = z.float()
            self.by_color.setdefault((color, name in art.KEEP), []).append(name)
        self.large = {k: [] for k in ("one", "shape", "flat", "tint", "wearing")}
        self.things = [k for k in self.tiles if k[0] in art.KEEP]
        self.shapes = [k for k in self.tiles if k[0] not in art.KEEP]
        self.scenes, self.files = [], []
        self.refresh()

    def refresh(self):
        """Takes up the shards that were written since."""
        for path in sorted(glob.glob(f"{self.folder}/large-*.pt") + glob.glob(f"{self.folder}/scenes-*.pt")):
            if path not in self.files:
                shard = torch.load(path, weights_only=False)
                for z, spec in zip(shard["z"], shard["spec"]):
                    part = self.scenes if spec["kind"] == "scene" else self.large[spec.get("group", spec["kind"])]
                    part.append((z, spec))
                self.files.append(path)
        self.sums = {k: list(itertools.accumulate(s.get("weight", 1.0) for _, s in v)) for k, v in self.large.items()}
        self.mix = {k: w for k, w in MIX.items() if k in ("small", "copies", "pair") or (self.scenes if k == "scene" else self.large[k])}

    def middle(self, z, t, y, x):
        """Puts the middle 8 x 8 cells of a tile at a place."""
        y = y + 1 if y == 3 else 0 if y == 0 else 8
        x = x + 1 if x == 3 else 0 if x == 0 else 8
        z[:, y:y + 8, x:x + 8] = t[:, 1:9, 1:9]

    def small(self, kind):
        rng = self.rng
        shape = rng.random() < 0.2
        name, color = rng.choice(self.shapes if shape else self.things)
        z, t = self.ground[color].clone(), self.tiles[name, color]
        spec = dict(kind=kind, things=[name], color=color)
        if kind == "small":
            spec["where"] = rng.choice(list(PLACES))
            y, x = PLACES[spec["where"]]
            z[:, y:y + 10, x:x + 10] = t
            return z, spec
        if kind == "copies":
            spec["count"] = rng.choice(list(COPIES))
            for y, x in COPIES[spec["count"]]:
                self.middle(z, t, y, x)
            return z, spec
        other = name
        while other == name or art.held_out_pair(self.index.get(name, name), self.index.get(other, other)):
            other = rng.choice(self.by_color[color, not shape])
        u = self.tiles[other, color]
        spec["things"] = [name, other]
        spec["kind"] = "beside" if rng.random() < 0.7 else "above"
        for tile, (y, x) in zip((t, u), ((3, 0), (3, 6)) if spec["kind"] == "beside" else ((0, 3), (6, 3))):
            self.middle(z, tile, y, x)
        return z, spec

    def sample(self):
        kind = self.rng.choices(list(self.mix), list(self.mix.values()))[0]
        if kind in ("small", "copies", "pair"):
            z, spec = self.small(kind)
        elif kind == "scene":
            z, spec = self.rng.choice(self.scenes)
        else:
            z, spec = self.rng.choices(self.large[kind], cum_weights=self.sums[kind])[0]
        return z.float(), caption(self.rng, self.words, spec)

    def batch(self, n):
        pairs = [self.sample() for _ in range(n)]
        return torch.stack([z for z, _ in pairs]), [c for _, c in pairs]
