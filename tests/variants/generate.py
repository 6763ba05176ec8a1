#!/usr/bin/env python3
"""Variants of the UNet and of the KL autoencoder that no folder of ../golden has, in the layout of those folders.

    python generate.py        rewrites the folders beside this file; needs ../golden/requirements.txt
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "golden"))

import torch
from diffusers import AutoencoderKL, LatentConsistencyModelPipeline, UNet2DConditionModel
from goldgen import nets
from goldgen.common import Cases, observe, quiet, randn, suggest, synthetic_image

BASE = {
    "_class_name": "UNet2DConditionModel",
    "block_out_channels": [8, 12],
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 10,
    "attention_head_dim": 2,
}
UNETS = {
    "unet-inpaint": {"in_channels": 9, "only_cross_attention": True, "mid_block_type": "UNetMidBlock2D"},
    "unet-guidance": {"time_cond_proj_dim": 33, "use_linear_projection": True, "conv_in_kernel": 5, "conv_out_kernel": 1},
    "unet-class-table": {
        "num_class_embeds": 10, "mid_block_type": None, "downsample_padding": 0, "layers_per_block": [2, 1],
        "only_cross_attention": [True, False], "transformer_layers_per_block": [2, 1], "cross_attention_dim": [10, 10],
    },
    "unet-class-timestep": {
        "class_embed_type": "timestep", "center_input_sample": True, "freq_shift": 1, "flip_sin_to_cos": False,
        "act_fn": "gelu", "norm_eps": 1e-3, "time_embedding_dim": 20,
    },
    "unet-class-projection": {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 7},
}
VAE = {"down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3, "layers_per_block": 1,
       "sample_size": 32}


def unet(name, extra):
    root, config = os.path.join(HERE, name), {**BASE, **extra}
    net = nets.write_denoiser(f"{root}/unet", UNet2DConditionModel, config, ("variants", name))
    x, text = randn((2, config.get("in_channels", 4), 7, 5), name, "x"), randn((2, 6, 10), name, "text")
    tensors, given = {}, {}
    if "time_cond_proj_dim" in extra:
        tensors["guidance"] = torch.tensor([6.5, 6.5])
        given["timestep_cond"] = LatentConsistencyModelPipeline.get_guidance_scale_embedding(
            None, tensors["guidance"], embedding_dim=extra["time_cond_proj_dim"]
        )
    if "class_embed_type" in extra or "num_class_embeds" in extra:
        width = extra.get("projection_class_embeddings_input_dim")
        label = randn((2, width), name, "class") if width else torch.tensor([3, 7])
        tensors["class_features" if width else "class_numbers"] = label.float()
        given["class_labels"] = label

    def run(m, dtype):
        kw = {k: v.to(dtype) if v.is_floating_point() else v for k, v in given.items()}
        return {"out": m(x.to(dtype), 321.0, encoder_hidden_states=text.to(dtype), **kw).sample}

    with torch.no_grad():
        ref = run(net, torch.float32)
    report = observe(run, net, ref, ["out"])
    cases = Cases(root)
    cases.add("unet", {"sample": x, "timestep": torch.tensor(321.0), "encoder_hidden_states": text, **tensors, **ref},
              kind="denoiser", observed=report, tol=suggest(report))
    cases.write(model=name, weights="f16 on disk")


def vae():
    root = os.path.join(HERE, "vae-tiled")
    nets.write_vae(f"{root}/vae", ("variants", "vae"), channels=[4, 8, 8], groups=2, latent=6, quant_conv=False,
                   extra={**VAE, "use_quant_conv": False, "use_post_quant_conv": False, "mid_block_add_attention": False})
    net = AutoencoderKL.from_pretrained(f"{root}/vae", dtype=torch.float32)
    net.enable_tiling()
    z = randn((2, 6, 19, 13), "variants", "z")
    image = torch.from_numpy(synthetic_image(76, 52, "variants", "image")).float().permute(2, 0, 1)[None] / 127.5 - 1

    def decode(m, dtype):
        return {"decoded": m.decode(z.to(dtype)).sample}

    def encode(m, dtype):
        d = m.encode(image.to(dtype)).latent_dist
        return {"mean": d.mean, "logvar": d.logvar}

    cases = Cases(root)
    for name, given, run in (("decode", {"latents": z}, decode), ("encode", {"image": image}, encode)):
        with torch.no_grad():
            ref = run(net, torch.float32)
        report = observe(run, net, ref, list(ref))
        cases.add(name, {**given, **ref}, kind=f"vae_{name}", tiled=True, observed=report, tol=suggest(report))
    cases.write(model="vae-tiled", weights="f16 on disk")


if __name__ == "__main__":
    quiet()
    torch.set_num_threads(1)
    for name, extra in UNETS.items():
        unet(name, extra)
    vae()
