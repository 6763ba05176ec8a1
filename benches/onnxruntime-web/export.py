"""Writes the graphs of the comparison with onnxruntime-web: `export.py DIR`.

For each resolution of Stable Diffusion 1.5's UNet, one residual block and the transformer after it (at 8x8 there is no
transformer) with random weights, and the denoiser of easel-emoji: each an ONNX file as PyTorch exports it, and the same
weights as safetensors. Needs torch, diffusers, safetensors and onnx.
"""

import json
import sys
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from safetensors.torch import save_file

EMOJI = Path(__file__).resolve().parents[2] / "models/easel-emoji/unet"
BATCH, TOKENS, TIME = 2, 77, 1280


class Block(torch.nn.Module):
    def __init__(self, channels, attention):
        super().__init__()
        self.resnet = ResnetBlock2D(in_channels=channels, temb_channels=TIME, eps=1e-5)
        self.transformer = None
        if attention:
            self.transformer = Transformer2DModel(8, channels // 8, in_channels=channels, cross_attention_dim=768)

    def forward(self, sample, time, states=None):
        hidden = self.resnet(sample, time)
        return hidden if self.transformer is None else self.transformer(hidden, states, return_dict=False)[0]


class Denoiser(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.unet = UNet2DConditionModel.from_pretrained(EMOJI).float()

    def forward(self, sample, time, states):
        return self.unet(sample, time, states, return_dict=False)[0]


def export(folder, name, module, shapes, about):
    torch.manual_seed(7)
    inputs = tuple(torch.randn(shape) for shape in shapes.values())
    with torch.inference_mode():
        torch.onnx.export(module, inputs, str(folder / f"{name}.onnx"), input_names=list(shapes), output_names=["out"], dynamo=False)
    return {"name": name, "shapes": shapes, **about}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    work = []
    for side, channels in [(64, 320), (32, 640), (16, 1280), (8, 1280)]:
        name, attention = f"sd15-{side}x{side}", side > 8
        torch.manual_seed(side)
        block = Block(channels, attention).eval()
        shapes = {"sample": [BATCH, channels, side, side], "time": [1, TIME]}
        if attention:
            shapes["states"] = [BATCH, TOKENS, 768]
        work.append(export(folder, name, block, shapes, {"channels": channels, "attention": attention, "steps": 1}))
        save_file(block.state_dict(), folder / f"{name}.safetensors")
    denoiser = Denoiser().eval()
    config = denoiser.unet.config
    sample, states = [BATCH, 4, config.sample_size, config.sample_size], [BATCH, TOKENS, config.cross_attention_dim]
    about = {"config": json.loads((EMOJI / "config.json").read_text()), "steps": 20}
    work.append(export(folder, "easel-emoji", denoiser, {"sample": sample, "time": [1], "states": states}, about))
    (folder / "easel-emoji.safetensors").write_bytes((EMOJI / "diffusion_pytorch_model.safetensors").read_bytes())
    (folder / "work.json").write_text(json.dumps(work))


main()
