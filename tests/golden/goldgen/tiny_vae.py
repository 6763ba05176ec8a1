"""sd15-tiny-vae: a pipeline in the form of models/easel-emoji: AutoencoderTiny, 32 text positions, three UNet levels."""

import torch

from . import common, nets, tok
from .common import observe, suggest, synthetic_image
from .folder import Folder

PART = "sd15-tiny-vae"
SCHEDULER = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.42.1",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "steps_offset": 1,
    "thresholding": False,
    "timestep_spacing": "trailing",
    "trained_betas": None,
}
MAX_LENGTH = 32


def _write_index(root):
    parts = {"scheduler": "DDIMScheduler", "text_encoder": "CLIPTextModel", "tokenizer": "CLIPTokenizer",
             "unet": "UNet2DConditionModel", "vae": "AutoencoderTiny"}
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1", "feature_extractor": [None, None],
             "image_encoder": [None, None], "requires_safety_checker": False, "safety_checker": [None, None]}
    for name, cls in parts.items():
        index[name] = ["transformers" if name in ("text_encoder", "tokenizer") else "diffusers", cls]
    common.write_json(f"{root}/model_index.json", index)
    common.write_json(f"{root}/scheduler/scheduler_config.json", SCHEDULER)


def _unet_config(p, cross):
    return {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": "0.42.1",
        "act_fn": "silu",
        "attention_head_dim": p["heads"],
        "block_out_channels": p["ch"],
        "center_input_sample": False,
        "cross_attention_dim": cross,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "downsample_padding": 1,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 1,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-05,
        "norm_num_groups": p["groups"],
        "out_channels": 4,
        "sample_size": 16,
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    }


def _vae_config(channels):
    return {
        "_class_name": "AutoencoderTiny",
        "_diffusers_version": "0.42.1",
        "act_fn": "relu",
        "block_out_channels": [channels] * 4,
        "decoder_block_out_channels": [channels] * 4,
        "encoder_block_out_channels": [channels] * 4,
        "force_upcast": False,
        "in_channels": 3,
        "latent_channels": 4,
        "latent_magnitude": 3,
        "latent_shift": 0.5,
        "num_decoder_blocks": [3, 3, 2, 0],
        "num_encoder_blocks": [0, 2, 3, 3],
        "out_channels": 3,
        "scaling_factor": 0.8,  # TAESD has 1.0, which would hide a runtime that multiplies where it should divide
        "shift_factor": 0.0,
        "upsample_fn": "nearest",
        "upsampling_scaling_factor": 2,
    }


def centre(vae):
    """Pixels around the middle of [0, 1], so that few are clamped in the picture."""
    vae.decoder.layers[-1].bias.data.add_(0.5)


def build(root, prof, merges):
    from diffusers import AutoencoderTiny, UNet2DConditionModel

    p, seed, vocab = prof[PART], (prof["seed"], PART), len(tok.clip_vocab(merges))
    d, layers, heads = p["text"]
    _write_index(root)
    tok.write_clip_tokenizer(f"{root}/tokenizer", merges, max_length=MAX_LENGTH)
    own_ids = {"bos_token_id": vocab - 2, "eos_token_id": vocab - 1, "pad_token_id": vocab - 1}
    nets.write_clip_text(f"{root}/text_encoder", (*seed, "te"), d=d, layers=layers, heads=heads, vocab=vocab,
                         act="quick_gelu", extra={"max_position_embeddings": MAX_LENGTH, **own_ids})
    nets.write_denoiser(f"{root}/unet", UNet2DConditionModel, _unet_config(p, d), (*seed, "unet"))
    nets.write_denoiser(f"{root}/vae", AutoencoderTiny, _vae_config(p["vae"]), (*seed, "vae"),
                        gains=[("conv.0", 1.3), ("conv.2", 1.3), ("conv.4", 0.6), ("decoder.layers.0.", 1.4),
                               ("encoder.layers.12.", 6.0), ("decoder.layers.16.", 0.4)], adjust=centre)


def _vae_cases(f):
    vae = f.pipe.vae
    z = f.noise("vae_decode", 1, 4, *((4, 7) if f.main else (6, 3)))
    picture = synthetic_image(*((33, 48) if f.main else (40, 27)), f.prof["seed"], PART, "encode")
    x = torch.from_numpy(picture).float().permute(2, 0, 1)[None] / 127.5 - 1.0

    def decode(m, dtype):
        return {"decoded": m.decode(z.to(dtype)).sample}

    def encode(m, dtype):
        return {"latents": m.encode(x.to(dtype)).latents}

    for name, fn, given, note in (
        ("vae_decode", decode, {"latents": z}, "no scaling factor applied; output not clamped"),
        ("vae_encode", encode, {"image": x}, "image in [-1, 1]; no scaling factor applied"),
    ):
        with torch.no_grad():
            ref = fn(vae, torch.float32)
        report = observe(fn, vae, ref, list(ref))
        f.cases.add(name, {**given, **ref}, kind=name, observed=report, tol=suggest(report), note=note)


def cases(root, prof):
    f = Folder(root, prof, PART, 60)
    states = f.text(max_length=MAX_LENGTH)
    f.unet("unet", f.noise("unet", 2, 4, *((7, 5) if f.main else (4, 6))), 999, torch.stack([states[1], states[0]]),
           ["conv_in", "down_blocks.*", "mid_block"])
    _vae_cases(f)
    deterministic = "AutoencoderTiny has no posterior: encoding draws nothing. latents = scaling_factor * encode(image). "
    trailing = "zero terminal SNR: the first timestep is 999, where alphas_cumprod is 0"
    text, image = "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"
    both = {"prompt": f.prompts[0], "negative_prompt": f.negative, "guidance_scale": 5.0, "num_inference_steps": 5}
    f.run("txt2img_ddim_cfg", text, note=trailing, **both)
    f.run("txt2img_ddim_nocfg", text, note=trailing, **{**both, "guidance_scale": 1.0, "prompt": f.prompts[3]})
    f.run("txt2img_ddim_rescale_eta", text, note="guidance_rescale with eta: one draw per step; "
          "the last is multiplied by 0 (set_alpha_to_one)",
          guidance_rescale=0.7, eta=0.5, **{**both, "prompt": f.prompts[2]})
    f.run("txt2img_euler_cfg", text, "EulerDiscreteScheduler", note="zero terminal SNR: alphas_cumprod[-1] = 2**-24 in "
          "the Euler schedulers, so sigma_max = 4096", **both)
    f.run("img2img_ddim_06", image, note=deterministic + "draw.0: diffusion noise", strength=0.6, **both)
    f.run("img2img_ddim_full", image, note=deterministic + "draw.0: diffusion noise; strength 1 still adds noise to the "
          "encoded image, of which nothing is left at timestep 999", strength=1.0, **both)
    inpaint = "StableDiffusionInpaintPipeline"
    blended = "4-channel UNet, blended after every step as in sd15; draw.0 is the noise, nothing else is drawn"
    f.run("inpaint_ddim_full", inpaint, note=deterministic + blended, strength=1.0, **both)
    f.run("inpaint_ddim_06", inpaint, note=deterministic + blended, strength=0.6, **both)
    f.write(weights="f16 on disk, computed in f32")
