"""The things there are to draw: emoji with their names and pictures in two styles, plain shapes, colours."""
import functools
import io
import json
import os
import random
import re

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = os.path.dirname(os.path.abspath(__file__))
COLORS = {"white": (255, 255, 255), "black": (20, 20, 20), "gray": (140, 140, 140), "red": (222, 45, 45),
          "orange": (250, 145, 30), "yellow": (252, 222, 60), "green": (60, 170, 75), "blue": (55, 110, 225),
          "purple": (140, 75, 195), "pink": (250, 160, 195), "brown": (130, 85, 50)}
NAMES = list(COLORS)
SHAPES = ["circle", "square", "triangle", "star", "diamond", "ring"]
SKIP_SUB = {30, 31, 32, 33, 83, 85, 87, 88, 89, 90, 94, 95, 96, 97, 98, 99}
KEEP_SYMBOLS = set("♻️ ✅️ ❌️ ⭕️ ❓️ ❗️ ☯️ ☮️ ⚛️ ✡️ ⚠️ ☢️ ☣️ 🚫 ⛔️ 🔱 ⚜️ 💲 🔰 ✝️ ☪️ 🕎 🚸 ✔️ 🚭️ 🚳 📵".split())
PIXELS = 160                                    # emoji are drawn once at this size and scaled down from it


def listed(path):
    """The names in a comma- or line-separated file, without comment lines."""
    lines = [line for line in open(os.path.join(HERE, path), encoding="utf-8") if not line.startswith("#")]
    return [n.strip() for n in re.split(r"[,\n]", "".join(lines)) if n.strip()]


KEEP = set(listed("emoji.txt"))                 # the 263 the first model was trained on; the figures are about them


def name_of(label):
    label = label.lower().replace("’", "'").replace(": ", " with ").replace("“", "").replace("”", "")
    return re.sub(r"\s+", " ", label).strip()


def skipped(e):
    """Emoji nobody would name in a prompt: flags, clocks, arrows, people who are only a variant of another."""
    group, char, label = e.get("group"), e["emoji"], e["label"]
    if group in (None, 2, 9) or e.get("subgroup") in SKIP_SUB or (group == 8 and char not in KEEP_SYMBOLS):
        return True
    if char == "🖕" or re.match(r"person: (red|curly|white|bald)", label):
        return True
    if e.get("subgroup") == 58 and ("o’clock" in label or "thirty" in label):
        return True
    if group != 1:
        return False
    variant = re.match(r"(man|woman|men|women|kiss|couple)\b", label) and "\u200d" in char and ":" not in label
    return "facing right" in label or bool(variant) or bool(re.match(r"(men|women|people|kiss|couple)\b.*", label))


@functools.cache
def font_emoji(font_path, data_json):
    """[{char, name, tags, img}]: the emoji of the font. Their order fixes what is held out; the figures compare with these pictures."""
    font = ImageFont.truetype(font_path, 109)
    out, seen = [], set()
    for e in json.load(open(data_json)):
        if skipped(e):
            continue
        im = Image.new("RGBA", (400, 180))
        ImageDraw.Draw(im).text((10, 10), e["emoji"], font=font, embedded_color=True)
        box = im.getbbox()
        if not box or box[2] - box[0] > 140 or (box[2] - box[0] < 24 and box[3] - box[1] < 24):
            continue                            # missing from the font (drawn as several glyphs) or blank
        img = im.crop(box)
        key = img.resize((32, 32)).tobytes()
        if key in seen:
            continue
        seen.add(key)
        out.append(dict(char=e["emoji"], name=name_of(e["label"]), tags=e.get("tags", []), img=img))
    return out


PEOPLE = re.compile(r"(man|woman) (running|walking|dancing|swimming|surfing|biking|climbing|golfing|lifting weights|rowing boat|bouncing ball|juggling|cartwheeling|cook|teacher|"
                    r"farmer|pilot|singer|artist|scientist|police officer|firefighter|astronaut|student|judge|mechanic|health worker|detective|superhero|mage|vampire|zombie|elf|"
                    r"office worker|technologist|construction worker|guard|shrugging|facepalming|raising hand|in lotus position|feeding baby|kneeling|standing)$")
TOGETHER = ("family", "couple with heart", "people hugging", "kiss", "people holding hands", "woman and man holding hands")


def people(data_json, known):
    """{name: char} of men and women at work and at play, and of people together, which the font's list leaves out."""
    out = {}
    for e in json.load(open(data_json)):
        name = name_of(e["label"])
        if e.get("group") == 1 and name not in known and (PEOPLE.match(name) or name in TOGETHER):
            out[name] = e["emoji"]
    return out


def train_colors(i):
    """The 4 background colours emoji i is seen on in training (besides white); the other 6 are held out."""
    return random.Random(i * 7919 + 1).sample([c for c in NAMES if c != "white"], 4)


def held_out_pair(a, b):
    """One pair in five is never drawn together."""
    return sum(map(ord, "|".join(sorted([str(a), str(b)])))) % 5 == 0


class Icons:
    """One icon set of Iconify, drawn on demand."""

    def __init__(self, folder):
        whole = json.load(open(f"{folder}/icons.json"))
        self.icons, self.size = whole["icons"], (whole["width"], whole["height"])
        self.by_char = json.load(open(f"{folder}/chars.json"))

    def find(self, char):
        points = [f"{ord(c):x}" for c in char]
        for form in ("-".join(points), "-".join(p for p in points if p != "fe0f")):
            if form in self.by_char and self.by_char[form] in self.icons:
                return self.by_char[form]
        return None

    def draw(self, icon):
        """An RGBA picture, cropped to what is drawn."""
        import resvg_py
        entry = self.icons[icon]
        w, h = entry.get("width", self.size[0]), entry.get("height", self.size[1])
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {w} {h}" width="{PIXELS}" height="{PIXELS}">{entry["body"]}</svg>'
        png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=PIXELS, height=PIXELS))
        im = Image.open(io.BytesIO(png)).convert("RGBA")
        return im.crop(im.getbbox())


def shape_img(shape, color):
    size, margin = 512, 8
    im = Image.new("RGBA", (size, size))
    d = ImageDraw.Draw(im)
    c = COLORS[color] + (255,)
    half, far = size / 2, size - margin
    if shape == "circle":
        d.ellipse((margin, margin, far, far), fill=c)
    if shape == "ring":
        d.ellipse((margin, margin, far, far), outline=c, width=100)
    if shape == "square":
        d.rectangle((30, 30, size - 30, size - 30), fill=c)
    if shape == "triangle":
        d.polygon([(half, 20), (far, size - 40), (margin, size - 40)], fill=c)
    if shape == "diamond":
        d.polygon([(half, margin), (far, half), (half, far), (margin, half)], fill=c)
    if shape == "star":
        d.polygon([(half + r * np.sin(a), half + 10 - r * np.cos(a)) for i in range(10)
                   for a, r in [(i * np.pi / 5, 250 if i % 2 == 0 else 105)]], fill=c)
    return im


def paste(img, bg, size, scale, dx=0, dy=0):
    """RGBA picture, its longer side `scale` px, centred on a size x size square of colour bg -> uint8 HWC."""
    k = scale / max(img.size)
    im = img.resize((max(1, round(img.width * k)), max(1, round(img.height * k))), Image.LANCZOS)
    base = Image.new("RGBA", (size, size), COLORS[bg] + (255,))
    base.alpha_composite(im, ((size - im.width) // 2 + dx, (size - im.height) // 2 + dy))
    return np.asarray(base.convert("RGB"))
