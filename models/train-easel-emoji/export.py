"""Weights -> a folder in the layout of diffusers' StableDiffusionPipeline, f16 safetensors."""
import argparse
import os

import torch
from safetensors.torch import load_file

import model
import pool


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--weights", default="weights", help="folder with text.safetensors, unet.safetensors, tokenizer/")
    ap.add_argument("--vae", default="weights/vae-f32.safetensors")
    ap.add_argument("--config", default="../easel-emoji/vae", help="folder with the autoencoder's config.json")
    ap.add_argument("--channels", default="64,128,192")
    ap.add_argument("--out", required=True)
    a = ap.parse_args()
    tok = model.load_tokenizer(f"{a.weights}/tokenizer")
    text, unet = model.new_text_encoder(tok), model.new_unet(tuple(int(n) for n in a.channels.split(",")))
    text.load_state_dict(load_file(f"{a.weights}/text.safetensors"))
    unet.load_state_dict(load_file(f"{a.weights}/unet.safetensors"))
    vae = pool.load_vae(a.config, a.vae).to(memory_format=torch.contiguous_format)
    model.pipeline(vae, text, tok, unet).to(torch.float16).save_pretrained(a.out, safe_serialization=True)
    if os.path.exists(f"{a.out}/tokenizer/tokenizer.json"):
        os.remove(f"{a.out}/tokenizer/tokenizer.json")
    model.copy_tokenizer(f"{a.weights}/tokenizer", f"{a.out}/tokenizer")       # CLIP's own files
    print("wrote", a.out)


if __name__ == "__main__":
    main()
