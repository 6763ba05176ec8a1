"""Picture files, and PIL's and diffusers' results for them: `python generate.py` rewrites this folder.

Written with Pillow 13.0.0, diffusers 0.42 and numpy 2.4 (`tests/golden/requirements.txt`). `expected.json` lists the cases,
`expected.safetensors` has their numbers, height x width x channels.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageOps, PngImagePlugin
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
TEXT = "a café\nNegative prompt: blurry\nSteps: 20, Sampler: DDIM, Seed: 1"
WIDE = "猫 and 🐈\nSteps: 20, Sampler: DDIM, Seed: 1"
rng = np.random.default_rng(7)
decode, tensors = [], {}


def smooth(width, height, channels=3):
    """A picture that survives lossy compression."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 120 * np.sin(x / (5 + c) + c) * np.cos(y / (7 - c)) for c in range(channels)]
    return np.stack(planes, -1).astype(np.uint8)


def on_white(image):
    image = ImageOps.exif_transpose(image)
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("LA", "RGBA"):
        white = Image.new("RGB", image.size, "white")
        white.paste(image.convert("RGBA"), mask=image.getchannel("A"))
        return white
    if image.mode.startswith("I"):  # PIL clips 16-bit grey but truncates 16-bit RGB; we truncate both
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def add(name, data, tolerance=0, metadata=None):
    (HERE / name).write_bytes(data)
    tensors[name] = np.array(on_white(Image.open(io.BytesIO(data))))
    decode.append({"file": name, "tolerance": tolerance, "metadata": metadata})


def saved(array, file_format, mode=None, **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array.squeeze(), mode)
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, interlaced=False, extra=b""):
    """A PNG that PIL cannot write; `rows` are the filtered rows."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    parts = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def adam7(array):
    rows = b""
    for x, y, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = array[y::dy, x::dx]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    return rows


def text_exif(text, order=">"):
    """A user comment as piexif writes it, or its little-endian twin."""
    comment = b"UNICODE\0" + text.encode("utf-16-be" if order == ">" else "utf-16-le")
    header = (b"MM" if order == ">" else b"II") + struct.pack(order + "HI", 42, 8)
    first = struct.pack(order + "HHHIII", 1, 0x8769, 4, 1, 26, 0)
    second = struct.pack(order + "HHHIII", 1, 0x9286, 7, len(comment), 44, 0)
    return header + first + second + comment


def orientation_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def pngs():
    noise = lambda *shape: rng.integers(0, 256, shape, np.uint8)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", TEXT)
    add("rgb.png", saved(noise(5, 7, 3), "PNG", pnginfo=info), metadata=TEXT)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", WIDE)
    add("grey.png", saved(noise(5, 7), "PNG", pnginfo=info), metadata=WIDE)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", TEXT, zip=True)
    add("grey-alpha.png", saved(noise(5, 7, 2), "PNG", pnginfo=info), metadata=TEXT)
    info = PngImagePlugin.PngInfo()
    info.add_itxt("parameters", WIDE, zip=True)
    add("rgba.png", saved(noise(5, 7, 4), "PNG", pnginfo=info), metadata=WIDE)
    palette = Image.fromarray(noise(5, 7, 3)).quantize(11)
    add("palette.png", saved(palette, "PNG"))
    add("palette-alpha.png", saved(palette, "PNG", transparency=bytes(range(0, 242, 22))))
    add("bits.png", saved(Image.fromarray(noise(5, 7)).convert("1"), "PNG"))
    deep = rng.integers(0, 65536, (5, 7, 3)).astype(">u2")
    add("deep.png", png(7, 5, 16, 2, b"".join(b"\0" + row.tobytes() for row in deep)))
    add("deep-grey.png", saved(Image.fromarray(rng.integers(0, 65536, (5, 7)).astype(np.uint16)), "PNG"))
    add("interlaced.png", png(9, 10, 8, 2, adam7(noise(10, 9, 3)), interlaced=True))
    add("turned.png", saved(noise(5, 7, 3), "PNG", exif=orientation_exif(8)))


def jpegs():
    # Decoders may round their inverse transform and their chroma enlargement differently.
    add("quality90.jpg", saved(smooth(31, 18), "JPEG", quality=90, subsampling=0, exif=b"Exif\0\0" + text_exif(TEXT)), 2, TEXT)
    add("subsampled.jpg", saved(smooth(31, 18), "JPEG", quality=75, subsampling=2, exif=b"Exif\0\0" + text_exif(WIDE, "<")), 3, WIDE)
    add("progressive.jpg", saved(smooth(40, 40), "JPEG", quality=85, progressive=True), 5)
    add("grey.jpg", saved(smooth(17, 9, 1), "JPEG", quality=85), 1)
    add("cmyk.jpg", saved(Image.fromarray(smooth(16, 16)).convert("CMYK"), "JPEG", quality=95, subsampling=0), 1)
    for orientation in (3, 5, 6):
        add(f"turned{orientation}.jpg", saved(smooth(24, 16), "JPEG", quality=95, subsampling=0, exif=orientation_exif(orientation)), 2)


def kept():
    """Files by other programs: 4:2:0 with one scan per colour, by the Rust crate jpeg-encoder with optimised tables."""
    add("scans.jpg", (HERE / "scans.jpg").read_bytes(), 2)


def webps():
    noise = lambda *shape: rng.integers(0, 256, shape, np.uint8)
    add("lossless.webp", saved(noise(5, 7, 3), "WEBP", lossless=True, exif=text_exif(TEXT)), metadata=TEXT)
    add("lossless-alpha.webp", saved(noise(5, 7, 4), "WEBP", lossless=True, exact=True))
    add("lossy.webp", saved(smooth(33, 20), "WEBP", quality=80, exif=b"Exif\0\0" + text_exif(WIDE)), 0, WIDE)
    add("lossy-alpha.webp", saved(np.dstack([smooth(33, 20), smooth(33, 20, 1)]), "WEBP", quality=80), 0)
    frames = [Image.fromarray(noise(8, 8, 3)) for _ in range(2)]
    (HERE / "animated.webp").write_bytes(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))


def resized():
    """Black and white noise, so that the window overshoots and clamps."""
    cases = [(8, 8, 8, 8), (17, 9, 40, 33), (40, 33, 17, 9), (20, 30, 24, 7), (20, 16, 16, 7), (20, 16, 16, 8), (1, 1, 3, 5), (64, 3, 2, 16)]
    for number, (width, height, *to) in enumerate(cases):
        source = rng.integers(0, 2, (height, width, 3), np.uint8) * 255
        tensors[f"resize.{number}.from"] = source
        tensors[f"resize.{number}.to"] = np.array(Image.fromarray(source).resize(tuple(to), Image.LANCZOS))
    return len(cases)


def processed():
    """The conversion to and from a model's numbers, and the mask's."""
    everything = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    processor = VaeImageProcessor(vae_scale_factor=8)
    values = processor.preprocess(Image.fromarray(everything))
    tensors["normalized"] = values[0].permute(1, 2, 0).contiguous().numpy()
    # Out of range, and ties: exactly half a step, as far as f32 allows.
    steps = torch.arange(0, 192, dtype=torch.float32).reshape(1, 3, 8, 8)
    out = torch.cat([(steps + 0.5) / 255 * 2 - 1, torch.linspace(-1.3, 1.3, 192).reshape(1, 3, 8, 8)], 2)
    tensors["out.values"] = out[0].permute(1, 2, 0).contiguous().numpy()
    tensors["out.picture"] = np.array(processor.postprocess(out)[0])
    mask_processor = VaeImageProcessor(vae_scale_factor=8, do_normalize=False, do_binarize=True, do_convert_grayscale=True)
    source = rng.integers(0, 256, (9, 11, 3), np.uint8)
    mask = mask_processor.preprocess(Image.fromarray(source), height=40, width=56)
    tensors["mask.from"] = source
    tensors["mask.to"] = mask[0].permute(1, 2, 0).contiguous().numpy()
    latent = torch.nn.functional.interpolate(mask, size=(5, 7))
    tensors["mask.latent"] = latent[0].permute(1, 2, 0).contiguous().numpy()


pngs(), jpegs(), kept(), webps(), processed()
count = resized()
(HERE / "expected.json").write_text(json.dumps({"decode": decode, "resize": count}, indent=1, ensure_ascii=False) + "\n")
save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, HERE / "expected.safetensors")
