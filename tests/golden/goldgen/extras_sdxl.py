"""extras-sdxl: a small SDXL with the schedulers, options, batch forms and inpainting that sdxl leaves out."""

from . import sdxl
from .folder import I2I_NOTE, XL, Folder

PART = "extras-sdxl"
TEXT, IMAGE, INPAINT = XL + "Pipeline", XL + "Img2ImgPipeline", XL + "InpaintPipeline"
TXT2IMG = [  # name, scheduler, its options, steps, further arguments
    ("heun", "HeunDiscreteScheduler", {}, 4, {}),
    ("unipc_karras", "UniPCMultistepScheduler", {"use_karras_sigmas": True}, 5, {}),
    ("dpmpp_sde_karras", "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True},
     5, {}),
    ("clip_skip_1", None, {}, 4, {"clip_skip": 1}),
    ("clip_skip_2", None, {}, 4, {"clip_skip": 2}),
    ("rescale", None, {}, 4, {"guidance_rescale": 0.7}),
]
SKIP = "clip_skip N takes hidden_states[-(N+2)] of both encoders for the prompt; the negative prompt keeps [-2]"
BLEND = (
    "4-channel UNet, blended after every step as in sd15. draw.0: posterior sample of the image, draw.1: noise, draw.2: "
    "posterior sample of the masked image (unused)"
)


def build(root, prof, merges):
    sdxl.build_sdxl(root, prof, merges, PART)


def cases(root, prof):
    f = Folder(root, prof, PART, 200)
    both = {"prompt": f.prompts[0], "negative_prompt": f.negative, "guidance_scale": 5.0}
    for name, scheduler, options, steps, args in TXT2IMG:
        f.run(f"txt2img_{name}", TEXT, scheduler, options, SKIP if "clip_skip" in args else None,
              num_inference_steps=steps, **both, **args)
    f.run("img2img_heun", IMAGE, "HeunDiscreteScheduler", note=I2I_NOTE, num_inference_steps=4, strength=0.6, **both)
    for name, scheduler, strength in (("full", None, 1.0), ("06", None, 0.6), ("ddim_default_strength", "DDIMScheduler",
                                                                             0.9999)):
        f.run(f"inpaint_{name}", INPAINT, scheduler, note=BLEND, num_inference_steps=4, strength=strength, **both)
    two = {**both, "prompt": [f.prompts[0], f.prompts[3]], "negative_prompt": [f.negative, ""], "num_inference_steps": 3}
    ancestral = "EulerAncestralDiscreteScheduler"
    f.run("batch_2_one_generator", TEXT, ancestral, **two)
    f.run("images_2_nocfg", TEXT, ancestral, num_images_per_prompt=2, num_inference_steps=3, prompt=f.prompts[0],
          guidance_scale=1.0)
    f.run("batch_2_images_2_generators", TEXT, ancestral, generators=4, num_images_per_prompt=2,
          note="rows: both images of the first prompt, then both of the second", **two)
    f.write(weights="f16 on disk, computed in f32", force_zeros_for_empty_prompt=True)
