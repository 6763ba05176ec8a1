"""Writes a Stable Diffusion 1.5 of random weights in f16, 2.1 GB, with a manifest for the browser: `large.py DIR`.

Needs torch, diffusers and transformers, for names and shapes alone: nothing is held in memory but one tensor.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

ROOT = Path(__file__).resolve().parents[2]
# The tokenizer and the scheduler are those of the small reference model; only the large parts are large.
SMALL = ROOT / "tests/golden/sd15"
LARGE = {
    "text_encoder": ("model", lambda: CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12))),
    "unet": ("diffusion_pytorch_model", lambda: UNet2DConditionModel(sample_size=64, cross_attention_dim=768)),
    "vae": ("diffusion_pytorch_model", lambda: AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512], layers_per_block=2, sample_size=512)),
}


def write_weights(model, path):
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    random = np.random.default_rng(7)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            file.write((random.standard_normal(int(np.prod(shape)), np.float32) * 0.02).astype(np.float16).tobytes())


def main():
    folder = Path(sys.argv[1])
    for part in ["scheduler", "tokenizer"]:
        shutil.copytree(SMALL / part, folder / part, dirs_exist_ok=True)
    shutil.copy(SMALL / "model_index.json", folder)
    for part, (stem, build) in LARGE.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        with torch.device("meta"):
            model = build()
        (folder / part / "config.json").write_text(json.dumps(model.config.to_dict() if part == "text_encoder" else dict(model.config)))
        write_weights(model, folder / part / f"{stem}.safetensors")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]
    listed = [{"path": str(path.relative_to(folder)), "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in files]
    (folder / "manifest.json").write_text(json.dumps({"name": "large", "files": listed}))


main()
