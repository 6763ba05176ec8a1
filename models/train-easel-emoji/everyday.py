"""The row of a hundred everyday prompts: what is right, and the nearest-thing rule that judges it.

Things on a plain ground: the part that differs from the border's colour is compared, as 24 x 24 colours, with all the font's emoji
and the men and women of the icon set; the prompt is right when one of its things is the nearest of all.
Scenes: the whole picture, as 24 x 24 colours, is compared with drawn scenes of every place and time and with every emoji on white; the
nearest must be a right one. Where a thing should stand there, it and forty other things are moved over the picture in four sizes; a right
one must fit best.
The scenes compared with are drawn from seeds that training never uses."""
import random

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import art
import scenes

OTHERS = ["man", "woman", "cow", "lion", "elephant", "rabbit", "penguin", "duck", "whale", "octopus", "turtle", "butterfly", "evergreen tree", "palm tree", "cactus", "mushroom",
          "red apple", "birthday cake", "church", "castle", "house", "tent", "hotel", "sailboat", "ship", "rocket", "airplane", "bus", "taxi", "tractor", "motorcycle", "bicycle",
          "snowman", "astronaut", "robot", "ghost", "bed", "umbrella", "dog", "cat"]


def read(path="everyday.txt"):
    """[(prompt, places, time, things)]; places is empty for a thing on a plain ground."""
    out = []
    for line in open(f"{art.HERE}/{path}", encoding="utf-8"):
        if line.startswith("#") or "=" not in line:
            continue
        prompt, right = [p.strip() for p in line.split("=", 1)]
        places, time = [], None
        if "@" in right:
            place, right = right.split("@", 1)
            time, _, right = right.partition(":")
            places, time = place.split("/"), time.strip()
        out.append((prompt, places, time, [t.strip() for t in right.split(",") if t.strip()]))
    return out


# A scene prompt's place and thing are never drawn together in training: the model has to put them together itself.
HELD_OUT = {(p, t) for _, places, _, things in read() for p in places for t in things}


def small(rgb, n=24):
    return np.asarray(Image.fromarray(np.asarray(rgb)).resize((n, n), Image.BOX)).astype(np.float32)


class Judge:
    """`artist` gives pictures of emoji by name; `wearing` draws a head with something on it."""

    def __init__(self, artist, names, feature, wearing):
        self.artist, self.feature, self.wearing = artist, feature, wearing
        self.names = names
        self.cache = {}
        self.things = np.stack([feature(art.paste(artist(n), "white", 128, 114), (255, 255, 255)) for n in names])
        self.plain = np.stack([small(art.paste(artist(n), "white", 128, 114)) for n in names])
        self.empty, self.empty_is = [], []
        for place in scenes.PLACES:
            for time in scenes.SKY if place not in scenes.ONE_TIME else ("day",):
                for seed in range(8):
                    self.empty.append(small(scenes.draw(random.Random(f"{place} {time} {seed}"), place, time, [], artist)))
                    self.empty_is.append((place, time))
        self.empty = np.stack(self.empty)

    def thing(self, im, right):
        border = np.median(self.edge(im), 0)
        f = self.feature(im, border)
        d = ((self.things - f) ** 2).mean((1, 2, 3))
        extra = [t for t in right if " + " in t]
        if extra:                               # a head with something on it is compared as well, among the other heads and hats
            rivals = [(w, h) for w in ("dog face", "cat face", "bear", "fox", "rabbit face", "man", "skull") for h in ("top hat", "crown", "woman's hat", "billed cap", "sunglasses", None)]
            e = [((self.feature(self.wearing(w, h), (255, 255, 255)) - f) ** 2).mean() for w, h in rivals]
            who, what = extra[0].split(" + ")
            best = rivals[int(np.argmin(e))]
            hat = best[1] == what or (what == "hat" and best[1] in ("top hat", "crown", "woman's hat", "billed cap"))
            return best[0] == who and hat and min(e) <= d.min()
        return self.names[int(np.argmin(d))] in right

    def scene(self, im, places, time, things):
        """The nearest drawn place must be a right one, nearer than any emoji on white; and of the things that could stand there a right one must fit best."""
        s = small(im)
        far = lambda refs: ((refs - s) ** 2).mean((1, 2, 3))
        plain, empty = far(self.plain).min(), far(self.empty)
        best = self.empty_is[int(np.argmin(empty))]
        if best[0] not in places or (time != "any" and best[1] != time) or plain < empty.min():
            return False
        if not things:
            return True
        names = things[:3] + [o for o in OTHERS if o not in things]
        return min(names, key=lambda n: self.fit(im, n)) in things

    def fit(self, im, name, n=32):
        """How well a thing fits into the picture where it fits best: mean square difference over its opaque part, over four sizes, mirrored or not."""
        x = torch.from_numpy(small(im, n)).permute(2, 0, 1)[None]
        best = 1e9
        for size in (11, 13, 15, 17):
            for t, alpha in self.templates(name, size):
                w = alpha.expand(1, 3, -1, -1)
                d = F.conv2d(x * x, w) - 2 * F.conv2d(x, t * w) + (t * t * w).sum()
                best = min(best, (d / (3 * alpha.sum())).min().item())
        return best

    def templates(self, name, size):
        if (name, size) not in self.cache:
            img = self.artist(name)
            k = size / max(img.size)
            a = np.asarray(img.resize((max(1, round(img.width * k)), max(1, round(img.height * k))), Image.BOX)).astype(np.float32)
            pair = [(torch.from_numpy(np.ascontiguousarray(v[..., :3])).permute(2, 0, 1)[None], torch.from_numpy(np.ascontiguousarray(v[..., 3:] / 255)).permute(2, 0, 1)[None]) for v in (a, a[:, ::-1])]
            self.cache[name, size] = [(t, (m > 0.6).float()) for t, m in pair]
        return self.cache[name, size]

    def edge(self, im):
        a = np.asarray(im).astype(np.float32)
        return np.concatenate([a[:6].reshape(-1, 3), a[-6:].reshape(-1, 3), a[:, :6].reshape(-1, 3), a[:, -6:].reshape(-1, 3)])

    def right(self, im, places, time, things):
        return self.scene(im, places, time, things) if places else self.thing(im, things)
