"""extras: a small SD 1.x with the schedulers, options and batch forms that sd15 leaves out, and tiled VAE coding."""

import torch

from . import sd
from .common import observe, suggest, synthetic_image
from .folder import I2I_NOTE, Folder

PART = "extras"
TEXT, IMAGE, INPAINT = ("StableDiffusion" + k for k in ("Pipeline", "Img2ImgPipeline", "InpaintPipeline"))
TXT2IMG = [  # name, scheduler, its options, steps, further arguments
    ("heun", "HeunDiscreteScheduler", {}, 4, {}),
    ("kdpm2", "KDPM2DiscreteScheduler", {}, 4, {}),
    ("kdpm2_a", "KDPM2AncestralDiscreteScheduler", {}, 4, {}),
    ("lms", "LMSDiscreteScheduler", {}, 6, {}),
    ("unipc", "UniPCMultistepScheduler", {}, 6, {}),
    ("deis", "DEISMultistepScheduler", {}, 6, {}),
    ("ddpm", "DDPMScheduler", {}, 5, {}),
    ("tcd", "TCDScheduler", {}, 4, {"eta": 0.3}),
    ("tcd_default_eta", "TCDScheduler", {}, 4, {}),
    ("dpmpp_singlestep", "DPMSolverSinglestepScheduler", {}, 5, {}),
    ("dpmpp_sde_karras", "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
     6, {}),
    ("ddim_eta1", "DDIMScheduler", {}, 5, {"eta": 1.0}),
    ("ddim_rescale", "DDIMScheduler", {}, 5, {"guidance_rescale": 0.7}),
    ("clip_skip_1", "EulerDiscreteScheduler", {}, 4, {"clip_skip": 1}),
    ("clip_skip_2", "EulerDiscreteScheduler", {}, 4, {"clip_skip": 2}),
]
IMG2IMG = [
    ("heun", "HeunDiscreteScheduler", {}, 5),
    ("kdpm2", "KDPM2DiscreteScheduler", {}, 5),
    ("lms", "LMSDiscreteScheduler", {}, 6),
    ("unipc", "UniPCMultistepScheduler", {}, 7),
    ("deis", "DEISMultistepScheduler", {}, 7),
    ("dpmpp_singlestep", "DPMSolverSinglestepScheduler", {}, 7),
]
TXT_NOTES = {
    "tcd_default_eta": "the pipelines pass their own eta, 0.0 unless given, not the scheduler's default of 0.3",
    "clip_skip_1": "clip_skip applies to the prompt only: the negative prompt keeps last_hidden_state",
    "clip_skip_2": "clip_skip applies to the prompt only: the negative prompt keeps last_hidden_state",
}
IMG_NOTES = {
    "lms": "the order comes from the index in the whole schedule, so the first steps of img2img use coefficients of order "
           "> 1 with the derivatives there are: the missing ones drop out without renormalising",
    "dpmpp_singlestep": "img2img starts at a step of order 2 in the order list, which becomes order 1 for want of history",
}
TILES = [  # tile_sample_min_size, tile_latent_min_size, tile_overlap_factor
    (32, 4, 0.25),
    (48, 6, 0.5),
]


def build(root, prof, merges):
    sd.build_sd15(root, prof, merges, PART)


def _batches(f):
    """Prompts, images per prompt and generators in every combination that changes the order of draws or rows."""
    two = {"prompt": [f.prompts[0], f.prompts[3]], "negative_prompt": [f.negative, ""], "guidance_scale": 6.0,
           "num_inference_steps": 3}
    one = {**two, "prompt": f.prompts[0], "negative_prompt": f.negative}
    ancestral = "EulerAncestralDiscreteScheduler"
    f.run("batch_2_one_generator", TEXT, ancestral, note="every draw has the shape of the batch", **two)
    f.run("images_2", TEXT, ancestral, note="every draw has the shape of the batch", num_images_per_prompt=2, **one)
    f.run("batch_2_images_2_generators", TEXT, ancestral, generators=4, num_images_per_prompt=2,
          note="rows: both images of the first prompt, then both of the second; one generator per row", **two)
    f.run("img2img_batch_2_one_generator", IMAGE, ancestral, strength=0.7, note="one posterior sample, of shape [1, ...], "
          "shared by both rows, then noise of shape [2, ...]", **two)
    f.run("img2img_batch_2_generators", IMAGE, ancestral, strength=0.7, generators=2, note="every row has its own "
          "posterior sample (draw.0, draw.1), then its own noise (rows of draw.2)", **two)
    f.run("inpaint_batch_2_one_generator", INPAINT, ancestral, strength=0.7, **two)
    f.run("inpaint_batch_2_generators", INPAINT, ancestral, strength=0.7, generators=2, note="unlike img2img: the one "
          "image is encoded once, with the first generator, and so is the masked image after the noise", **two)


def _tiling(f):
    vae, (h, w) = f.pipe.vae, (5, 7) if f.main else (7, 4)
    z = f.noise("tiled", 1, 4, h, w)
    x = torch.from_numpy(synthetic_image(8 * h, 8 * w, f.prof["seed"], PART, "tiled")).float().permute(2, 0, 1)[None]
    x = x / 127.5 - 1.0

    def decode(m, dtype):
        return {"decoded": m.decode(z.to(dtype)).sample}

    def encode(m, dtype):
        d = m.encode(x.to(dtype)).latent_dist
        return {"mean": d.mean, "logvar": d.logvar}

    vae.enable_tiling()
    for i, sizes in enumerate(TILES):
        tile = dict(zip(("tile_sample_min_size", "tile_latent_min_size", "tile_overlap_factor"), sizes))
        for key, value in tile.items():
            setattr(vae, key, value)
        for kind, fn, given in (("vae_decode_tiled", decode, {"latents": z}), ("vae_encode_tiled", encode, {"image": x})):
            with torch.no_grad():
                ref = fn(vae, torch.float32)
            report = observe(fn, vae, ref, list(ref))
            f.cases.add(f"{kind}_{i}", {**given, **ref}, kind=kind, **tile, observed=report, tol=suggest(report))
    vae.disable_tiling()


def cases(root, prof):
    f = Folder(root, prof, PART, 100)
    f.text(clip_skips=(1, 2), keep=["last_hidden_state"])
    both = {"prompt": f.prompts[0], "negative_prompt": f.negative, "guidance_scale": 6.0}
    for name, scheduler, options, steps, args in TXT2IMG:
        f.run(f"txt2img_{name}", TEXT, scheduler, options, TXT_NOTES.get(name),
              num_inference_steps=steps, **both, **args)
    for name, scheduler, options, steps in IMG2IMG:
        note = I2I_NOTE + ("; " + IMG_NOTES[name] if name in IMG_NOTES else "")
        f.run(f"img2img_{name}", IMAGE, scheduler, options, note, num_inference_steps=steps, strength=0.6, **both)
    for name, scheduler, strength in (("heun", "HeunDiscreteScheduler", 0.6), ("kdpm2", "KDPM2DiscreteScheduler", 1.0)):
        f.run(f"inpaint_{name}", INPAINT, scheduler, note="two calls per step: both are blended", strength=strength,
              num_inference_steps=5, **both)
    _batches(f)
    _tiling(f)
    f.write(weights="f16 on disk, computed in f32")
