"""sd15-lcm: a latent consistency model whose UNet takes the guidance scale as an embedding (time_cond_proj_dim)."""

import torch

from . import sd
from .folder import I2I_NOTE, Folder

PART = "sd15-lcm"
SCHEDULER = {  # as shipped by SimianLuo/LCM_Dreamshaper_v7
    "_class_name": "LCMScheduler",
    "_diffusers_version": "0.22.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "num_train_timesteps": 1000,
    "original_inference_steps": 50,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "thresholding": False,
    "timestep_spacing": "leading",
    "trained_betas": None,
}
NOTE = (
    "no classifier-free guidance at any scale (one prompt in the batch of the UNet): the scale enters as timestep_cond = "
    "[sin(w f), cos(w f)] with w = 1000 (guidance_scale - 1) and f = 10000^(-k / (n/2 - 1)), k = 0 .. n/2 - 1. "
)


def build(root, prof, merges):
    sd.build_sd15(root, prof, merges, PART, "LatentConsistencyModelPipeline", SCHEDULER,
                  {"time_cond_proj_dim": prof[PART]["cond"]})


def cases(root, prof):
    f = Folder(root, prof, PART, 80)
    states = f.text(keep=["last_hidden_state"])
    f.unet("unet", f.noise("unet", 2, 4, *((5, 6) if f.main else (4, 7))), 759, torch.stack([states[1], states[0]]),
           ["time_embedding"], timestep_cond=f.noise("timestep_cond", 2, f.sizes["cond"]).clamp(-1, 1))
    text, image = "LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline"
    large = NOTE + "w is in the thousands: f32 rounding of f and w f shows in the result, see observed"
    f.run("txt2img_8_5", text, note=large, prompt=f.prompts[0], num_inference_steps=4, guidance_scale=8.5)
    f.run("txt2img_scale_1", text, note=NOTE + "here w = 0", prompt=f.prompts[3], num_inference_steps=3, guidance_scale=1.0)
    f.run("txt2img_sd_pipeline", "StableDiffusionPipeline", note=NOTE + "the negative prompt is ignored",
          prompt=f.prompts[0], negative_prompt=f.negative, num_inference_steps=4, guidance_scale=1.5)
    f.run("img2img_06", image, note=NOTE + I2I_NOTE + ". strength shortens the list of original timesteps, of which "
          "num_inference_steps are then taken: all of them run", prompt=f.prompts[0], strength=0.6, num_inference_steps=4,
          guidance_scale=2.0)
    f.run("img2img_sd_pipeline_06", "StableDiffusionImg2ImgPipeline", note=NOTE + I2I_NOTE + ". strength drops the first "
          "timesteps", prompt=f.prompts[0], strength=0.6, num_inference_steps=5, guidance_scale=2.0)
    f.write(weights="f16 on disk, computed in f32")
