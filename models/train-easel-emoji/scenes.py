"""Scenes: a place by day, at sunset or at night, drawn from gradients, hills and waves, with up to three things standing in it."""
import math

import numpy as np
from PIL import Image, ImageDraw

S = 256                                         # drawn at twice the size of the picture

# place: words for it, words for "somewhere there", the things seen there (names of emoji, or a group of GROUPS)
PLACES = {
    "sea": (["the sea", "the ocean", "a calm sea", "sea", "ocean"], ["on the sea", "by the sea", "at sea", "on the ocean", "near the sea", "on the water"],
            ["boats", "sea animals", "island things"]),
    "beach": (["a beach", "the beach", "a sandy beach", "the seaside"], ["on the beach", "on a beach", "at the beach", "at the seaside", "by the sea", "on the sand"],
              ["beach things", "people", "pets", "houses"]),
    "hills": (["green hills", "a meadow", "a field", "the countryside", "a green landscape", "grass", "a landscape"],
              ["in a meadow", "on a hill", "in a field", "in the countryside", "on the grass", "in the grass", "in a park", "outside"],
              ["farm animals", "animals", "pets", "people", "houses", "trees", "vehicles"]),
    "mountains": (["mountains", "a mountain landscape", "snowy mountains", "the mountains", "a mountain range"],
                  ["in the mountains", "in front of mountains", "near the mountains", "under the mountains"],
                  ["animals", "people", "houses", "trees", "vehicles", "camp things"]),
    "snow": (["a snowy landscape", "snow", "winter", "a winter landscape"], ["in the snow", "in winter", "on the snow", "on a snowy day"],
             ["winter things", "animals", "pets", "people", "houses", "trees"]),
    "desert": (["a desert", "the desert", "sand dunes"], ["in the desert", "in a desert", "on a sand dune"], ["desert things", "people", "vehicles"]),
    "space": (["outer space", "space", "stars in space", "the universe"], ["in space", "in outer space", "among the stars"], ["space things"]),
    "forest": (["a forest", "the woods", "a wood", "trees", "a pine forest"], ["in a forest", "in the forest", "in the woods", "between trees"],
               ["forest animals", "people", "houses", "camp things"]),
    "city": (["a city", "a city skyline", "skyscrapers", "a town", "a big city"], ["in the city", "in a city", "in town", "in front of a city", "downtown"],
             ["vehicles", "people", "pets"]),
    "road": (["a road", "a street", "an empty road", "a highway"], ["on a road", "on the road", "on the street", "on a street", "on a highway"],
             ["vehicles", "people", "pets"]),
    "rain": (["rain", "a rainy day", "bad weather", "heavy rain"], ["in the rain", "on a rainy day", "in bad weather"], ["rain things", "people", "pets", "animals", "houses", "vehicles"]),
    "storm": (["a storm", "a thunderstorm", "lightning", "stormy weather"], ["in a storm", "in a thunderstorm", "during a storm"], ["houses", "people", "boats", "trees"]),
    "underwater": (["underwater", "the sea floor", "under the sea", "an underwater world"], ["under water", "underwater", "under the sea", "in the sea", "in the ocean"],
                   ["water animals"]),
    "room": (["a room", "an empty room", "a living room", "inside a house"], ["in a room", "in a house", "at home", "indoors", "in the living room"],
             ["furniture", "pets", "people", "home things"]),
    "garden": (["a garden", "a field of flowers", "a flower garden", "a flower meadow"], ["in a garden", "in the garden", "among flowers", "in a field of flowers"],
               ["pets", "people", "small animals", "houses"]),
    "lake": (["a lake", "a river", "a pond", "a lake in the hills"], ["by a lake", "at a lake", "on a lake", "by a river", "near a lake", "by the water"],
             ["houses", "boats", "people", "birds", "animals", "camp things"]),
    "sky": (["the sky", "clouds", "a blue sky", "clouds in the sky"], ["in the sky", "in the clouds", "in the air", "flying in the sky"], ["flying things", "birds"]),
}
GROUPS = {
    "boats": "sailboat, ship, passenger ship, speedboat, motor boat, canoe, ferry, sailboat",
    "sea animals": "whale, spouting whale, dolphin, duck, swan, shark, person surfing, person rowing boat",
    "island things": "desert island, anchor, ring buoy, palm tree, house",
    "beach things": "palm tree, umbrella on ground, crab, turtle, tropical drink, ring buoy, sailboat, ice cream, bikini, spiral shell",
    "people": "man, woman, boy, girl, child, person running, person walking, baby, old man, old woman, woman dancing, person biking, princess, santa claus, astronaut, ninja, police officer, farmer, robot",
    "pets": "dog, cat, dog face, cat face, rabbit, black cat, poodle, dog, cat",
    "houses": "house, house with garden, castle, church, tent, hut, hotel, houses, house",
    "farm animals": "cow, horse, pig, ewe, goat, chicken, rooster, duck, tractor",
    "animals": "lion, tiger, elephant, giraffe, zebra, monkey, bear, wolf, fox, deer, unicorn, dragon, kangaroo, t-rex, sauropod, panda, horse, cow, goat, rabbit",
    "trees": "deciduous tree, evergreen tree, palm tree, christmas tree, sunflower, cactus, mushroom",
    "vehicles": "automobile, bus, taxi, police car, fire engine, ambulance, tractor, motorcycle, bicycle, racing car, delivery truck, sport utility vehicle, train, locomotive, automobile",
    "camp things": "tent, camping, fire, backpack, bear, person climbing",
    "winter things": "snowman, penguin, polar bear, christmas tree, sled, skier, snowboarder, santa claus, snowman",
    "desert things": "camel, two-hump camel, cactus, snake, scorpion, lizard",
    "space things": "rocket, flying saucer, astronaut, alien, ringed planet, satellite, full moon, globe showing europe-africa, robot, comet, cat, dog",
    "forest animals": "bear, fox, wolf, deer, rabbit, owl, hedgehog, chipmunk, mushroom, raccoon, unicorn, fairy",
    "rain things": "umbrella, umbrella with rain drops, frog, snail, duck",
    "water animals": "fish, tropical fish, shark, octopus, whale, dolphin, turtle, jellyfish, squid, crab, mermaid, blowfish, seal",
    "furniture": "bed, chair, couch and lamp, television, door, desktop computer, window, bathtub, teddy bear",
    "home things": "teapot, birthday cake, christmas tree, potted plant, books, guitar, wrapped gift, candle, alarm clock",
    "small animals": "butterfly, honeybee, lady beetle, snail, hedgehog, bird, frog, chicken, baby chick",
    "birds": "bird, duck, swan, flamingo, eagle, owl, dove, parrot",
    "flying things": "airplane, helicopter, balloon, kite, rocket, eagle, butterfly, bat, dragon, superhero, rainbow, parachute, flying saucer, airplane",
}
GROUPS = {k: v.split(", ") for k, v in GROUPS.items()}
TIMES = {"day": [""], "sunset": [" at sunset", " at sunset", " at dusk", " in the evening", " at sunrise", " at dawn"], "night": [" at night", " at night", " in the dark", " at midnight", " under the stars"]}
ONE_TIME = {"space", "underwater", "room", "rain", "storm"}      # places drawn in one light only
SKY = {"day": [((70, 160, 245), (190, 230, 255)), ((95, 180, 250), (215, 240, 255)), ((60, 140, 230), (160, 215, 250))],
       "sunset": [((250, 130, 60), (255, 215, 110)), ((120, 70, 150), (255, 150, 80)), ((230, 90, 90), (255, 190, 90))],
       "night": [((10, 14, 50), (35, 45, 105)), ((5, 10, 35), (25, 30, 80)), ((20, 20, 70), (60, 55, 120))]}
SHADE = {"day": (1, 1, 1), "sunset": (0.82, 0.6, 0.55), "night": (0.3, 0.34, 0.5)}


def gradient(top, bottom, y0=0, y1=S):
    k = np.clip((np.arange(S) - y0) / max(1, y1 - y0), 0, 1)[:, None, None]
    a = (1 - k) * np.array(top, float) + k * np.array(bottom, float)
    return Image.fromarray(np.broadcast_to(a, (S, S, 3)).round().astype(np.uint8)).convert("RGBA")


def shaded(color, time, k=1.0):
    return tuple(int(min(255, c * s * k)) for c, s in zip(color, SHADE[time])) + (255,)


def ridge(rng, base, height, waves):
    """Points of a soft skyline from left to right."""
    parts = [(rng.uniform(0.3, 1), rng.uniform(0.5, waves), rng.uniform(0, 6.3)) for _ in range(3)]
    total = sum(p[0] for p in parts)
    return [(x, base - height * sum(p * math.sin(w * x / S * 3.14 + o) for p, w, o in parts) / total) for x in range(0, S + 4, 4)]


def ground(d, points, color):
    d.polygon(points + [(S, S), (0, S)], fill=color)


def stars(d, rng, low, n=45):
    for _ in range(n):
        x, y, r = rng.uniform(0, S), rng.uniform(0, low), rng.choice((1, 1, 1.5, 2.2))
        d.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, rng.randint(190, 255), 255))


def cloud(d, rng, y, light=255, x=None):
    x, w = rng.uniform(10, S - 50) if x is None else x, rng.uniform(34, 64)
    for dx, dy, r in ((0, 0, 0.26), (0.3, -0.14, 0.34), (0.62, -0.06, 0.3), (0.9, 0.03, 0.22)):
        r *= w
        d.ellipse((x + dx * w - r, y + dy * w - r, x + dx * w + r, y + dy * w + r), fill=(light, light, light, 255))


def sun(d, rng, x, y, r, color):
    d.ellipse((x - r, y - r, x + r, y + r), fill=color)


def sky(rng, time, horizon, light=True):
    """The sky with a sun, a moon, stars or clouds in it."""
    top, bottom = rng.choice(SKY[time])
    im = gradient(top, bottom, 0, horizon)
    d = ImageDraw.Draw(im)
    x = rng.uniform(30, S - 30)
    if time == "night":
        stars(d, rng, horizon)
        if light and rng.random() < 0.7:
            y, r = rng.uniform(25, 70), rng.uniform(14, 24)
            sun(d, rng, x, y, r, (250, 245, 205, 255))
            if rng.random() < 0.5:
                sun(d, rng, x + r * 0.55, y - r * 0.2, r * 0.9, tuple(int(a + (b - a) * min(1, y / horizon)) for a, b in zip(top, bottom)) + (255,))
    elif time == "sunset":
        if light:
            sun(d, rng, rng.uniform(70, S - 70), horizon - rng.uniform(-8, 22), rng.uniform(24, 40), rng.choice(((255, 240, 150, 255), (255, 205, 70, 255), (255, 120, 50, 255))))
    else:
        if light and rng.random() < 0.5:
            sun(d, rng, x, rng.uniform(25, 55), rng.uniform(16, 26), (255, 225, 70, 255))
        for _ in range(rng.choice((0, 1, 1, 2))):
            cloud(d, rng, rng.uniform(25, horizon * 0.5))
    return im, d


def water(d, rng, top, time, bottom=S):
    a = {"day": (30, 110, 200), "sunset": (110, 80, 140), "night": (12, 28, 80)}[time]
    d.rectangle((0, top, S, bottom), fill=a + (255,))
    for _ in range(int((bottom - top) / 7)):
        y, x, w = rng.uniform(top + 3, bottom - 3), rng.uniform(-20, S), rng.uniform(14, 50)
        bright = tuple(min(255, c + 45) for c in a) + (255,)
        if time == "sunset" and rng.random() < 0.5:
            bright = (255, 190, 110, 255)
        d.line((x, y, x + w, y), fill=bright, width=3)


def peaks(d, rng, horizon, time):
    for _ in range(rng.choice((2, 3, 3, 4))):
        x, w, h = rng.uniform(0, S), rng.uniform(60, 110), rng.uniform(60, 120)
        c = rng.choice(((110, 120, 145), (130, 115, 110), (95, 110, 150)))
        top = (x + rng.uniform(-12, 12), horizon - h)
        d.polygon([top, (x + w, horizon + 6), (x - w, horizon + 6)], fill=shaded(c, time))
        k = rng.uniform(0.25, 0.4)
        left, right = (top[0] - k * (top[0] - x + w), top[1] + k * h), (top[0] + k * (x + w - top[0]), top[1] + k * h)
        mid = ((left[0] + right[0]) / 2, left[1] - 0.07 * h)
        d.polygon([top, right, mid, left], fill=shaded((245, 248, 255), time, 1.1))


def skyline(d, rng, horizon, time):
    x = -10
    while x < S:
        w, h = rng.uniform(22, 44), rng.uniform(40, 130)
        c = rng.choice(((120, 130, 150), (150, 120, 110), (90, 110, 140), (170, 160, 150)))
        d.rectangle((x, horizon - h, x + w, horizon + 4), fill=shaded(c, time))
        glass = (255, 225, 120, 255) if time == "night" else shaded((200, 225, 245), time)
        for yy in range(int(horizon - h + 7), int(horizon - 6), 13):
            for xx in range(int(x + 5), int(x + w - 6), 10):
                if time != "night" or rng.random() < 0.55:
                    d.rectangle((xx, yy, xx + 5, yy + 7), fill=glass)
        x += w + rng.uniform(-2, 6)


def put(im, img, x, bottom, longer, flip=False):
    """A thing whose feet are in the middle at (x, bottom)."""
    k = longer / max(img.size)
    img = img.resize((max(1, round(img.width * k)), max(1, round(img.height * k))), Image.LANCZOS)
    if flip:
        img = img.transpose(Image.FLIP_LEFT_RIGHT)
    left = min(max(2, x - img.width / 2), S - 2 - img.width)
    top = min(max(2, bottom - img.height), S - 2 - img.height)
    im.alpha_composite(img, (round(left), round(top)))


def place(rng, where, time, art):
    """The empty place. Gives the picture and the height where things stand. `art` gives the picture of an emoji by name."""
    horizon = rng.uniform(118, 150)
    green = rng.choice(((90, 175, 75), (110, 190, 80), (75, 160, 70), (130, 195, 85)))
    if where == "space":
        im = gradient((8, 6, 22), rng.choice(((25, 15, 50), (10, 10, 30))))
        d = ImageDraw.Draw(im)
        stars(d, rng, S, 80)
        return im, 190
    if where == "underwater":
        im = gradient((60, 170, 225), (10, 60, 140))
        d = ImageDraw.Draw(im)
        ground(d, ridge(rng, 222, 8, 5), (215, 195, 140, 255))
        for _ in range(14):
            x, y, r = rng.uniform(0, S), rng.uniform(0, 200), rng.uniform(2, 6)
            d.ellipse((x - r, y - r, x + r, y + r), outline=(200, 235, 255, 255), width=2)
        for _ in range(rng.randint(2, 4)):
            x = rng.uniform(5, S - 5)
            d.line([(x + 5 * math.sin(t / 7), 232 - t) for t in range(0, 50, 4)], fill=(40, 140, 80, 255), width=6)
        return im, 185
    if where == "room":
        wall = rng.choice(((245, 225, 195), (205, 225, 235), (230, 215, 235), (220, 235, 210)))
        im = gradient(wall, wall)
        d = ImageDraw.Draw(im)
        d.rectangle((0, 185, S, S), fill=rng.choice(((170, 120, 75, 255), (150, 105, 70, 255), (190, 145, 100, 255))))
        d.rectangle((0, 181, S, 187), fill=(250, 250, 250, 255))
        x = rng.choice((22, 165))
        d.rectangle((x, 30, x + 68, 105), fill=(255, 255, 255, 255))
        for dx, dy in ((5, 35), (36, 35), (5, 72), (36, 72)):
            d.rectangle((x + dx, dy, x + dx + 27, dy + 29), fill=(135, 200, 250, 255))
        return im, 228
    if where == "sky":
        im, d = sky(rng, time, S)
        for _ in range(rng.randint(2, 5)):
            cloud(d, rng, rng.uniform(30, 230), 255 if time == "day" else 200 if time == "sunset" else 70)
        return im, 175
    if where in ("rain", "storm"):
        dark = where == "storm"
        im = gradient((60, 65, 85) if dark else (120, 135, 155), (110, 115, 135) if dark else (180, 190, 205), 0, horizon)
        d = ImageDraw.Draw(im)
        ground(d, ridge(rng, 190, 6, 3), (60, 95, 65, 255) if dark else (95, 135, 90, 255))
        for x in range(0, S, 45):
            cloud(d, rng, rng.uniform(12, 34), 80 if dark else 205, x + rng.uniform(-10, 10))
        for _ in range(60):
            x, y = rng.uniform(0, S), rng.uniform(40, S)
            d.line((x, y, x - 4, y + 13), fill=(200, 220, 245, 255), width=2)
        if dark:
            x = rng.uniform(50, S - 50)
            d.polygon([(x, 45), (x - 22, 112), (x - 2, 108), (x - 18, 172), (x + 26, 92), (x + 6, 96), (x + 20, 45)], fill=(255, 230, 80, 255))
        return im, 222
    im, d = sky(rng, time, 190 if where in ("city", "forest") else horizon)
    if where == "sea":
        water(d, rng, horizon, time)
        return im, rng.uniform(190, 205)
    if where == "beach":
        water(d, rng, horizon, time, 190)
        ground(d, ridge(rng, 184, 5, 3), shaded((240, 215, 150), time))
        return im, 232
    if where == "hills":
        ground(d, ridge(rng, horizon + 12, 24, 3), shaded(green, time, 0.85))
        ground(d, ridge(rng, 190, 16, 2.5), shaded(green, time))
        return im, 222
    if where == "mountains":
        peaks(d, rng, 176, time)
        ground(d, ridge(rng, 180, 7, 3), shaded(green, time))
        return im, 228
    if where == "snow":
        ground(d, ridge(rng, horizon + 14, 20, 3), shaded((215, 228, 245), time, 1.1))
        ground(d, ridge(rng, 190, 12, 2.5), shaded((245, 250, 255), time, 1.2))
        for _ in range(40):
            x, y, r = rng.uniform(0, S), rng.uniform(0, S), rng.choice((1.5, 2, 3))
            d.ellipse((x - r, y - r, x + r, y + r), fill=(255, 255, 255, 255))
        return im, 225
    if where == "desert":
        ground(d, ridge(rng, horizon + 14, 22, 3), shaded((225, 180, 105), time))
        ground(d, ridge(rng, 192, 16, 2.5), shaded((240, 200, 125), time))
        return im, 225
    if where == "forest":
        ground(d, ridge(rng, 170, 5, 3), shaded(green, time, 0.8))
        kind = rng.choice(("evergreen tree", "deciduous tree", "evergreen tree"))
        for row, (y, n) in enumerate(((182, 6), (206, 5))):
            for i in range(n):
                tree = art(kind)
                if time != "day":
                    r, g, b, al = tree.split()
                    tree = Image.merge("RGBA", [c.point(lambda v, s=s: int(v * s)) for c, s in zip((r, g, b), SHADE[time])] + [al])
                put(im, tree, (i + 0.5) * S / n + rng.uniform(-10, 10), y + rng.uniform(-6, 6), rng.uniform(80, 125))
        return im, 236
    if where == "city":
        skyline(d, rng, 190, time)
        d.rectangle((0, 190, S, S), fill=shaded((105, 105, 112), time))
        for x in range(-10, S, 50):
            d.rectangle((x, 220, x + 26, 225), fill=shaded((240, 240, 240), time))
        return im, 234
    if where == "road":
        ground(d, ridge(rng, horizon + 6, 12, 3), shaded(green, time))
        d.polygon([(S / 2 - 14, horizon + 8), (S / 2 + 14, horizon + 8), (S + 10, S), (-10, S)], fill=shaded((95, 95, 102), time))
        for t in (0.12, 0.34, 0.62):
            y0, y1 = horizon + 8 + (S - horizon) * t, horizon + 8 + (S - horizon) * (t + 0.14)
            d.polygon([(S / 2 - 2 - 5 * t, y0), (S / 2 + 2 + 5 * t, y0), (S / 2 + 3 + 6 * t, y1), (S / 2 - 3 - 6 * t, y1)], fill=shaded((250, 250, 250), time))
        return im, 228
    if where == "garden":
        ground(d, ridge(rng, horizon + 10, 10, 3), shaded(green, time))
        kinds = rng.sample(["tulip", "sunflower", "rose", "blossom", "hibiscus", "cherry blossom"], 2)
        for i in range(9):
            put(im, art(rng.choice(kinds)), (i % 5 + 0.5 + (i > 4) * 0.5) * S / 5 + rng.uniform(-8, 8), (192 if i < 5 else 250) + rng.uniform(-5, 5), rng.uniform(38, 52))
        return im, 225
    if where == "lake":
        ground(d, ridge(rng, horizon - 4, 18, 3), shaded(green, time, 0.9))
        water(d, rng, horizon + 14, time, 210)
        ground(d, ridge(rng, 206, 6, 2), shaded(green, time))
        return im, 226
    raise ValueError(where)


SMALL = set(GROUPS["small animals"]) | {"crab", "mushroom", "teapot", "candle", "alarm clock", "spiral shell", "ice cream", "scorpion"}
LARGE = {"house", "house with garden", "castle", "church", "hotel", "ship", "passenger ship", "elephant", "t-rex", "sauropod", "whale", "giraffe", "deciduous tree", "evergreen tree", "palm tree", "houses"}
FLOATING = {"sky", "space", "underwater"}


def draw(rng, where, time, things, art):
    """The finished 128 x 128 picture of things, named by emoji, at a place."""
    im, foot = place(rng, where, time, art)
    n = len(things)
    spots = {1: (128,), 2: (72, 186), 3: (48, 130, 212)}.get(n, ())
    if n == 1:
        spots = (128 + rng.choice((0, 0, -40, 40)),)
    for name, x in zip(things, spots):
        size = {1: 122, 2: 98, 3: 80}[n] * (0.72 if name in SMALL else 1.12 if name in LARGE else 1.0) * rng.uniform(0.9, 1.08)
        y = foot + rng.uniform(-3, 4)
        if where in FLOATING:
            y = 128 + size / 2 + rng.uniform(-28, 28)
        put(im, art(name), x + rng.uniform(-10, 10), y, size, rng.random() < 0.25)
    return im.convert("RGB").resize((128, 128), Image.BOX)


def random_scene(rng, held_out):
    """(place, time, things): what to draw. `held_out` says which (place, thing) are never drawn."""
    where = rng.choice(list(PLACES))
    time = "day" if where in ONE_TIME else rng.choice(("day", "day", "day", "sunset", "night"))
    n = rng.choice((0, 1, 1, 1, 1, 2, 2, 3))
    things = []
    while len(things) < n:
        t = rng.choice(GROUPS[rng.choice(PLACES[where][2])])
        if not held_out(where, t) and t not in things:
            things.append(t)
    if n == 2 and rng.random() < 0.4:
        things[1] = things[0]
    return where, time, things
