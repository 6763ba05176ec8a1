"""Draws the pictures to learn from and encodes them with the autoencoder, in shards of 256: things once, scenes for as long as wanted."""
import argparse
import os
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from safetensors.torch import load_file

import art
import scenes

HATS = ["top hat", "crown", "woman's hat", "billed cap", "graduation cap", "sunglasses", "glasses"]
WEARERS = ["dog face", "cat face", "bear", "panda", "fox", "rabbit face", "frog", "pig face", "koala", "lion", "tiger face", "mouse face", "monkey face", "owl", "penguin",
           "man", "woman", "boy", "girl", "baby", "old man", "robot", "skull", "ghost", "alien", "jack-o-lantern", "smiling face with smiling eyes", "snowman", "santa claus", "chicken"]
TINTED = ["automobile", "cat", "dog", "bird", "fish", "house", "balloon", "rose", "tulip", "t-shirt", "dress", "backpack", "umbrella", "mushroom", "robot", "butterfly",
          "bicycle", "motorcycle", "bus", "sailboat", "locomotive", "airplane", "rocket", "top hat", "billed cap", "scarf", "gloves", "socks", "running shoe", "high-heeled shoe",
          "jeans", "chair", "bed", "door", "guitar", "drum", "closed book", "candle", "teapot", "cupcake", "birthday cake", "doughnut", "candy", "lollipop", "ice cream", "wrapped gift",
          "frog", "snake", "turtle", "dragon", "t-rex", "unicorn", "horse", "rabbit", "octopus", "crab", "pickup truck", "crown", "ring", "key", "envelope", "pencil", "telephone",
          "alien", "ghost", "hibiscus", "tractor", "kite", "tent", "bear", "owl", "parrot", "whale", "snail", "handbag", "necktie", "bell pepper", "gem stone", "red apple", "pear"]


class Artist:
    """Pictures of emoji by name, in both styles."""

    def __init__(self, a):
        self.list = art.font_emoji(a.font, a.emojibase)
        self.index = {e["name"]: i for i, e in enumerate(self.list)}
        self.char = {e["name"]: e["char"] for e in self.list}
        self.people = art.people(a.emojibase, set(self.char))
        self.char.update(self.people)
        self.sets = {"noto": art.Icons(a.noto), "flat": art.Icons(a.flat)}
        self.done = {}

    def family(self, style):
        """The sets draw a family as a pictogram; here it is a man and a woman with a child in front."""
        im = Image.new("RGBA", (256, 224))
        for who, x, bottom, longer in (("man", 74, 190, 150), ("woman", 182, 190, 150), ("child", 128, 222, 110)):
            scenes.put(im, self(who, style), x, bottom, longer)
        return im.crop(im.getbbox())

    def has(self, name, style):
        return name == "family" or self.sets[style].find(self.char[name]) is not None

    def __call__(self, name, style="noto"):
        if name == "family" and (name, style) not in self.done:
            self.done[name, style] = self.family(style)
        if (name, style) not in self.done:
            icon = self.sets[style].find(self.char[name])
            self.done[name, style] = self.sets[style].draw(icon) if icon else None
        return self.done[name, style]


def tinted(img, color):
    """The picture with its coloured parts in another colour; black, white and grey stay."""
    r, g, b, alpha = img.split()
    h, s, v = (np.asarray(c).astype(float) for c in Image.merge("RGB", (r, g, b)).convert("HSV").split())
    th, ts, tv = Image.new("RGB", (1, 1), art.COLORS[color]).convert("HSV").getpixel((0, 0))
    k = np.clip((s - 30) / 60, 0, 1)
    if color in ("black", "gray", "white"):
        ns, nv = s * (1 - k), v * (1 - k) + k * (v * {"black": 0.3, "gray": 0.65, "white": 0.3}[color] + (170 if color == "white" else 0))
    else:
        ns, nv = s * (1 - k) + k * np.clip(0.35 * s + 0.65 * ts, 0, 255), v * (1 - k) + k * (0.55 * v + 0.45 * tv)
    nh = np.where(k > 0.3, th, h)
    out = Image.merge("HSV", [Image.fromarray(np.clip(c, 0, 255).astype(np.uint8)) for c in (nh, ns, nv)]).convert("RGB")
    return Image.merge("RGBA", (*out.split(), alpha))


def wearing(head, hat, name, color):
    """A head with something on it, on a plain square."""
    im = Image.new("RGBA", (256, 256), art.COLORS[color] + (255,))
    if name in ("sunglasses", "glasses"):
        scenes.put(im, head, 128, 246, 216)
        k = 216 / max(head.size)
        scenes.put(im, hat, 128, 246 - head.height * k * 0.42, 0.66 * head.width * k)
    else:
        k = 176 / max(head.size)
        scenes.put(im, head, 128, 250, 176)
        top = 250 - head.height * k
        width = {"top hat": 0.62, "crown": 0.62, "graduation cap": 0.86}.get(name, 0.78) * head.width * k
        longer = width * max(hat.size) / hat.width
        scenes.put(im, hat, 128, max(top + 0.2 * head.height * k, 4 + longer * hat.height / max(hat.size)), longer)
    return np.asarray(im.convert("RGB").resize((128, 128), Image.BOX))


def colors_of(artist, name):
    i = artist.index.get(name)
    return art.train_colors(i if i is not None else sum(map(ord, name)))


def parts(artist):
    """What is drawn large, as [(spec, function that draws it)], the emoji of the first model first; and the same for the small tiles."""
    rng, large, tiles = random.Random(0), [], []

    def one(picture, spec, scale=None):
        scale, dx, dy = scale or rng.choice((108, 114, 120)), rng.randint(-3, 3), rng.randint(-3, 3)
        large.append((spec, lambda: art.paste(picture(), spec["color"], 128, scale, dx, dy)))

    def tile(picture, name, color, scale):
        tiles.append(((name, color), lambda: art.paste(picture(), color, 96, scale)))

    for name in sorted(artist.char, key=lambda n: n not in art.KEEP):
        kept, cs, picture = name in art.KEEP, colors_of(artist, name), (lambda name=name: artist(name))
        weight = 0.2 if kept else 0.06          # a kept one has six pictures, another two
        for c in (["white", "white"] + cs if kept else ["white"] + cs[:1]):
            one(picture, dict(kind="one", things=[name], color=c, weight=weight * (2.0 if c == "white" else 1.0)))
        for c in ["white"] + cs[:2] if kept else []:
            tile(picture, name, c, 54)
    for shape in art.SHAPES:
        for c in art.NAMES:
            for b in art.NAMES:
                if b != c and (b == "white" or rng.random() < 0.35):
                    picture, name = (lambda shape=shape, c=c: art.shape_img(shape, c)), f"{c} {shape}"
                    one(picture, dict(kind="one", group="shape", things=[name], color=b), 104)
                    tile(picture, name, b, 50)
    for who in WEARERS:
        for hat in HATS:
            if art.held_out_pair(who, hat) or (who, hat) == ("dog face", "top hat"):
                continue
            for c in ["white"] + colors_of(artist, who)[:1]:
                large.append((dict(kind="wearing", things=[who, hat], color=c), lambda who=who, hat=hat, c=c: wearing(artist(who), artist(hat), hat, c)))
    for name in TINTED:
        for c in art.NAMES:
            one(lambda name=name, c=c: tinted(artist(name), c), dict(kind="tint", things=[name], color="white" if c != "white" else rng.choice(("gray", "black", "blue")), tint=c))
    for name in sorted(artist.char, key=lambda n: n not in art.KEEP):
        if artist.has(name, "flat") and (name in art.KEEP or rng.random() < 0.3):
            for c in ["white"] + (colors_of(artist, name)[:1] if name in art.KEEP else []):
                one(lambda name=name: artist(name, "flat"), dict(kind="flat", things=[name], color=c, weight=1.0 if name in art.KEEP else 0.3))
    return large, tiles


def drawn(functions, threads):
    """Their pictures, drawn in parallel."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda draw: draw(), functions))


@torch.no_grad()
def encode(vae, pictures, size=32):
    out = []
    for i in range(0, len(pictures), size):
        x = torch.from_numpy(np.stack(pictures[i:i + size])).permute(0, 3, 1, 2).float() / 127.5 - 1
        out.append(vae.encode(x.contiguous(memory_format=torch.channels_last)).latents.half())
    return torch.cat(out)


def shard(a, vae, name, functions, spec):
    """Draws and encodes one shard, unless it is there. With --draw the encoding is left for later."""
    path, pictures = f"{a.out}/{name}.pt", f"{a.out}/{name}.npy"
    if os.path.exists(path) or (a.draw and os.path.exists(pictures)):
        return
    x = np.load(pictures) if os.path.exists(pictures) else np.stack(drawn(functions, a.threads))
    if a.draw:
        np.save(pictures + ".tmp.npy", x)
        os.replace(pictures + ".tmp.npy", pictures)
    else:
        write(path, dict(z=encode(vae, x), spec=spec))
        if os.path.exists(pictures):
            os.remove(pictures)
    print(name, flush=True)


def write(path, what):
    torch.save(what, path + ".tmp")
    os.replace(path + ".tmp", path)


def load_vae(config, weights):
    vae = AutoencoderTiny.from_config(AutoencoderTiny.load_config(config))
    vae.load_state_dict(load_file(weights))
    return vae.eval().to(memory_format=torch.channels_last)


def never(where, thing):
    """Places and things that are never drawn together: those of the everyday prompts, and one in ten of the others."""
    import everyday
    return (where, thing) in everyday.HELD_OUT or sum(map(ord, where + thing)) % 10 == 0


def main():
    ap = argparse.ArgumentParser()
    for n in ("font", "emojibase", "noto", "flat", "vae", "config", "out"):
        ap.add_argument("--" + n, required=True)
    ap.add_argument("--draw", action="store_true", help="only draw; a later run encodes")
    ap.add_argument("--first", type=int, default=0, help="number of the first shard")
    ap.add_argument("--scenes", type=int, default=40, help="shards of 256 scenes to have")
    ap.add_argument("--threads", type=int, default=2)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    os.makedirs(a.out, exist_ok=True)
    artist, vae = Artist(a), load_vae(a.config, a.vae)
    large, tiles = parts(artist)
    print(len(large), "large,", len(tiles), "tiles", flush=True)
    if not os.path.exists(f"{a.out}/tiles.pt"):
        ground = encode(vae, [np.full((128, 128, 3), art.COLORS[c], np.uint8) for c in art.NAMES])
        z = encode(vae, drawn([draw for _, draw in tiles], a.threads))[:, :, 1:11, 1:11].clone()
        write(f"{a.out}/tiles.pt", dict(index=artist.index, ground=dict(zip(art.NAMES, ground)), z=z, spec=[s for s, _ in tiles]))
    for n in range(a.first, max(a.scenes, -(-len(large) // 256))):
        chosen = large[256 * n:256 * n + 256]
        if chosen:
            shard(a, vae, f"large-{n:04d}", [draw for _, draw in chosen], [s for s, _ in chosen])
        if n < a.scenes:
            chosen = [scenes.random_scene(random.Random(f"{n} {i}"), never) for i in range(256)]
            draw = lambda i: np.asarray(scenes.draw(random.Random(f"{n} {i} drawn"), *chosen[i], artist))
            shard(a, vae, f"scenes-{n:04d}", [lambda i=i: draw(i) for i in range(256)], [dict(kind="scene", place=w, time=t, things=th) for w, t, th in chosen])



if __name__ == "__main__":
    main()
