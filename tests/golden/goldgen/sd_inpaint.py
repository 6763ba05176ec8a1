"""sd15-inpaint: the inpainting UNet of SD 1.x with nine input channels (latents, mask, latents of the masked image)."""

import torch

from . import sd
from .folder import Folder

PART, KIND = "sd15-inpaint", "StableDiffusionInpaintPipeline"
NOTE = (
    "9-channel UNet: input = [scaled latents (4), mask (1), masked image latents (4)] on the channel axis; only the "
    "latents are scaled by the scheduler; the masked image is image * (mask < 0.5) in [-1, 1], so mid-grey "
    "under the mask; no blending after the steps. "
)
FULL = (
    "strength 1: the image itself is not encoded: draw.0 is the noise, draw.1 the posterior sample of the masked image"
)
PART_WAY = (
    "strength < 1: draw.0: posterior sample of the image, draw.1: noise, draw.2: posterior sample of the masked image"
)


def build(root, prof, merges):
    sd.build_sd15(root, prof, merges, PART, KIND, unet={"in_channels": 9})


def cases(root, prof):
    f = Folder(root, prof, PART, 40)
    states = f.text(keep=["last_hidden_state"])
    sample = f.noise("unet", 2, 9, *((5, 7) if f.main else (6, 5)))
    sample[:, 4:5] = (sample[:, 4:5] > 0).float()
    f.unet("unet", sample, 901, torch.stack([states[1], states[0]]), sd.UNET_PROBES[:2])

    def run(name, note, scheduler=None, generators=None, **args):
        args = {"prompt": f.prompts[0], "num_inference_steps": 5, "guidance_scale": 7.5, **args}
        f.run(name, KIND, scheduler, note=NOTE + note, generators=generators, **args)

    run("inpaint_pndm_full", FULL, negative_prompt=f.negative, strength=1.0)
    run("inpaint_ddim_06", PART_WAY, "DDIMScheduler", negative_prompt=f.negative, strength=0.6, num_inference_steps=6)
    run("inpaint_euler_06", PART_WAY, "EulerDiscreteScheduler", strength=0.6)
    run("inpaint_euler_full_nocfg", FULL, "EulerDiscreteScheduler", strength=1.0, guidance_scale=1.0)
    run("inpaint_euler_a_nocfg_08", PART_WAY + "; then one draw per step", "EulerAncestralDiscreteScheduler", strength=0.8,
        guidance_scale=1.0)
    run("inpaint_ddim_batch2_full", FULL + "; two prompts, one generator: one noise draw of shape [2, ...], one posterior "
        "sample of shape [1, ...]", "DDIMScheduler", prompt=[f.prompts[0], f.prompts[3]], strength=1.0,
        num_inference_steps=4)
    f.write(weights="f16 on disk, computed in f32")
