"""Captions: what people would type for a picture, drawn anew every time the picture is learned from."""
import re

import art
import scenes

UNCOUNTED = {"fire", "bread", "rice", "milk", "popcorn", "spaghetti", "bacon", "yarn", "thread", "soap", "money", "salt", "butter", "ice", "wood", "tea", "beer",
             "coffee", "water", "grass", "rain", "snow", "lightning", "sushi", "cash", "smoke", "fog", "pasta", "meat", "honey", "wine", "food", "nature", "weather",
             "fireworks", "broccoli", "garlic", "ginger", "tennis", "football", "baseball", "basketball", "wheat", "corn", "mail", "fruit", "music", "art", "luggage"}
SAID = ["a picture of ", "a drawing of ", "a photo of ", "a painting of ", "an icon of ", "a cartoon of ", "an image of ", "an illustration of ", "an emoji of "]
ADJECTIVES = ["cute ", "beautiful ", "big ", "nice ", "funny ", "colorful ", "simple ", "little "]
HEADS = ("face", "cat", "man", "woman", "boy", "girl", "person", "baby", "old", "child", "princess", "prince", "santa", "officer", "worker", "astronaut", "farmer", "cook", "clown", "robot", "king", "queen")


def article(n):
    first = n.split()[0]
    if n in UNCOUNTED or first in ("two", "three", "four", "a", "an", "the", "my") or (n.endswith("s") and not n.endswith(("ss", "bus", "us", "is")) and " with " not in n):
        return n
    return ("an " if n[0] in "aeiou" and not n.startswith(("uni", "eu", "ewe")) else "a ") + n


def plural(n):
    head, mark, rest = re.match(r"(.*?)( with | of | on | in | from |$)(.*)", n).groups()
    if head in ("man", "woman", "mouse", "goose", "person", "child", "fish", "sheep", "deer"):
        head = {"man": "men", "woman": "women", "mouse": "mice", "goose": "geese", "person": "people", "child": "children"}.get(head, head)
    elif head.endswith(("man", "woman")) and " " in head:
        head = head[:-2] + "en"
    elif head.endswith("y") and head[-2] not in "aeiou":
        head = head[:-1] + "ies"
    elif not head.endswith("s") or head.endswith(("ss", "bus")):
        head += "es" if head.endswith(("ch", "sh", "x", "ss", "bus")) else "s"
    return head + mark + rest


class Words:
    """What each emoji is called: its own name, and the everyday words of words.txt, frequent ones first."""

    def __init__(self, path="words.txt"):
        self.of = {}
        for line in open(f"{art.HERE}/{path}", encoding="utf-8"):
            if ":" in line and not line.startswith("#"):
                name, words = line.split(":", 1)
                self.of[name.strip()] = [w.strip() for w in words.split(",") if w.strip()]

    def say(self, rng, name):
        words = self.of.get(name, [])
        if not words or rng.random() < 0.4:
            return name
        weights = [1 / (i + 1) ** 0.5 for i in range(len(words))]
        return rng.choices(words, weights)[0]


def background(rng, color):
    if color == "white":
        return rng.choice(["", "", "", "", " on a white background"])
    return f" on {article(color)} background" if rng.random() < 0.6 else rng.choice([f" on {color}", f", {color} background"])


def caption(rng, words, spec):
    """The caption of one picture. `spec` says what was drawn: kind, things, colour, place and so on."""
    kind, names = spec["kind"], [words.say(rng, n) for n in spec["things"]]
    if kind == "scene":
        return scene(rng, spec, names)
    tail = background(rng, spec["color"])
    if kind == "one":
        n = names[0]
        r = rng.random()
        if r < 0.08:
            return rng.choice(SAID) + article(n) + tail
        if r < 0.12 and " with " not in n and not n.startswith(("the ", "a ")):
            return article(rng.choice(ADJECTIVES) + n) + tail
        if r < 0.20 and any(h in spec["things"][0].split() for h in HEADS):
            return "a portrait of " + article(n) + tail
        return rng.choice([n, article(n), article(n)]) + tail
    if kind == "flat":
        return rng.choice([f"{article(names[0])}, flat", f"flat {names[0]}", f"{article('flat ' + names[0])}", f"{names[0]}, flat style"]) + tail
    if kind == "tint":
        return article(f"{spec['tint']} {names[0]}") + tail
    if kind == "wearing":
        a, b = article(names[0]), article(names[1])
        return rng.choice([f"{a} wearing {b}", f"{a} wearing {b}", f"{a} with {b}", f"{a} in {b}"]) + tail
    if kind == "small":
        where, n = spec["where"], names[0]
        if where == "in the middle":
            return article("small " + n) + tail
        return rng.choice([f"{article('small ' + n)} {where}", f"{article(n)} {where}"]) + tail
    if kind == "copies":
        return spec["count"] + " " + plural(names[0]) + tail
    a, b = article(names[0]), article(names[1])
    if kind == "beside":
        return rng.choice([f"{a} and {b}", f"{a} and {b}", f"{a} and {b}", f"{a} next to {b}", f"{a} to the left of {b}", f"{b} to the right of {a}"]) + tail
    return rng.choice([f"{a} above {b}", f"{b} below {a}", f"{a} on top of {b}"]) + tail


def scene(rng, spec, names):
    named, somewhere, _ = scenes.PLACES[spec["place"]]
    time = rng.choice(scenes.TIMES[spec["time"]])
    if not names:
        text = rng.choice(named)
        if spec["time"] == "sunset" and rng.random() < 0.4:
            return rng.choice(["sunset over ", "a sunset over ", "sunrise over ", "the sun setting over "]) + text
        if spec["time"] == "sunset" and rng.random() < 0.1:
            return rng.choice(["a sunset", "sunset", "sunrise"])
        if spec["time"] == "night" and rng.random() < 0.2:
            return rng.choice(["a starry night", "the night sky", "night", "a night sky with stars"]) + ("" if rng.random() < 0.5 else " over " + text)
        return (rng.choice(SAID) if rng.random() < 0.06 else "") + text + time
    where = rng.choice(somewhere) if rng.random() < 0.9 else ""
    if len(names) == 2 and spec["things"][0] == spec["things"][1]:
        what = "two " + plural(names[0])
    elif len(names) == 3:
        what = f"{article(names[0])}, {article(names[1])} and {article(names[2])}"
    else:
        what = " and ".join(article(n) for n in names)
    text = what + (" " + where if where else "")
    if not where and not time:
        text += " " + somewhere[0]
    return text + time if rng.random() < 0.85 or not where else re.sub(" +", " ", time.strip() + (", " if time else "") + text)
