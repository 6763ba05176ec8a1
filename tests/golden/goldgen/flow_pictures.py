"""flow-pictures: image to image and inpainting with the weights of the flow families' folders, which are not repeated.

A case names the folder of its model in `weights` and, where a small autoencoder takes the place of the model's own, the
folder of that in `vae`; both are beside this part's folder. `picture_rows`: the call has a list of the picture, once per row.
"""

import os

import diffusers
import numpy as np
import torch
from PIL import Image

from .common import Cases, derive_seed, synthetic_image
from .flux import keep_times_exact
from .sd import pipeline_case

PART = "flow-pictures"
SD3_IMAGE, SD3_INPAINT = "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"
FLUX_IMAGE, FLUX_INPAINT = "FluxImg2ImgPipeline", "FluxInpaintPipeline"
# Not LCM: these pipelines give no generator to its steps, whose noise is therefore never the same.
HEUN = "FlowMatchHeunDiscreteScheduler"
# Pixels of a mask that nearest-neighbour sampling takes: one in eight, the first of its square.
CELL = 8
TOKENS = 32

FULL = "strength 1: the loop starts from the noise, the picture is still encoded for the blend"
ROUNDED = "flows drop int(steps - steps * strength) steps, so that 2 steps at strength 0.6 are both taken, from pure noise"
ONCE = ("one generator per row: the picture is encoded once, with the first generator only; then every row's noise from its "
        "own generator, and the masked picture's posterior sample from the first again")
ROWS = ("one generator per row, and the picture given once per row: every row has its own posterior sample, then its own noise. "
        "With one picture for both rows FluxImg2ImgPipeline encodes it with the first generator only, and "
        "StableDiffusion3Img2ImgPipeline fails")
SHARED = "one generator: one posterior sample of shape [1, ...], then noise of shape [2, ...]"
SHIFTED = ("diffusers 0.42 decodes without adding shift_factor in this pipeline alone (issue 13611 of its repository); the "
           "picture here is decoded with it, as in SD 3's other pipelines")


def ragged_mask(height, width):
    """Edges off the latent grid, lines that sampling takes or misses, greys on both sides of one half."""
    mask = np.zeros((height, width), np.uint8)
    mask[5 : height - 11, 3 : width // 2 + 3] = 255  # edges inside squares
    mask[CELL * 2, width // 2 :] = 255  # one row that sampling takes
    mask[CELL * 3 + 1 : CELL * 4, width // 2 + 5 :] = 255  # seven rows that it misses
    mask[height - CELL :, CELL : CELL * 3 + 1] = 128
    mask[height - CELL :, CELL * 4 :] = 127
    mask[1:CELL, width - 5 :] = 255
    return mask


def disc_mask(height, width):
    y, x = np.mgrid[0:height, 0:width]
    inside = ((y - height * 0.4) / (height * 0.37)) ** 2 + ((x - width * 0.6) / (width * 0.33)) ** 2 < 1
    return np.where(inside, 255, 0).astype(np.uint8)


class Model:
    """The pipelines over one folder's weights, with its own autoencoder or a small one."""

    def __init__(self, run, weights, vae=None):
        self.run_, self.weights, self.vae = run, weights, vae
        parts = {}
        if vae:
            parts["vae"] = diffusers.AutoencoderTiny.from_pretrained(os.path.join(run.beside, vae))
        self.pipe = diffusers.DiffusionPipeline.from_pretrained(
            os.path.join(run.beside, weights), dtype=torch.float32, **parts)
        self.shipped = self.pipe.scheduler
        self.flux = weights.startswith("flux")
        self.half = torch.bfloat16 if self.flux or weights == "sd35-large" else torch.float16

    def case(self, name, kind, size, mask=None, scheduler=None, generators=None, note=None, from_size=None, **args):
        """from_size: the sizes of the picture and of the mask before they are resized to `size`."""
        run = self.run_
        pipe = self.pipe
        if kind != type(pipe).__name__:
            pipe = getattr(diffusers, kind)(**pipe.components)
        pipe.scheduler = self.shipped
        if scheduler:
            pipe.scheduler = getattr(diffusers, scheduler).from_config(self.shipped.config)
        of_picture, of_mask = from_size or (size, size)
        given, rows = {}, {}
        if "Img2Img" in kind or "Inpaint" in kind:
            picture = synthetic_image(*of_picture, run.prof["seed"], PART, name)
            args["image"], given["image_u8"] = Image.fromarray(picture), torch.from_numpy(picture)
            if "Img2Img" in kind and generators:
                args["image"], rows = [args["image"]] * generators, {"picture_rows": generators}
        if "Inpaint" in kind:
            drawn = (mask or ragged_mask)(*of_mask)
            args["mask_image"], given["mask_u8"] = Image.fromarray(drawn), torch.from_numpy(drawn)
        notes = [n for n in (note, SHIFTED if kind == SD3_INPAINT and not self.vae else None) if n]
        info = {"weights": self.weights, **({"vae": self.vae} if self.vae else {}), **rows,
                **({"note": "; ".join(notes)} if notes else {})}
        first = derive_seed(run.prof["seed"], PART, name) % 100_000
        args = {"prompt": run.prof["prompts"][0], "height": size[0], "width": size[1], "max_sequence_length": TOKENS,
                "guidance_scale": 1.0, **args}

        def exact_times(m):
            keep_times_exact(m.transformer, lambda: m.scheduler.timesteps, [args["guidance_scale"] * 1000])

        pipeline_case(run.cases, run.prof, pipe, name, [first + i for i in range(generators)] if generators else first,
                      False, half=self.half, info=info, extra=given, prepare=exact_times if self.flux else None, **args)


class Run:
    def __init__(self, root, prof):
        self.prof, self.cases, self.beside = prof, Cases(root), os.path.dirname(os.path.abspath(root))
        self.main = prof["name"] == "main"

    def size(self, height, width):
        return (height, width) if self.main else (width, height)


def _sd3(run):
    model, neg, two = Model(run, "sd3"), run.prof["negative"], [run.prof["prompts"][i] for i in (0, 3)]
    size = run.size(48, 64)
    guided = {"negative_prompt": neg, "guidance_scale": 5.0}
    model.case("sd3_img2img_full", SD3_IMAGE, size, strength=1.0, num_inference_steps=3, **guided)
    model.case("sd3_img2img_2_steps", SD3_IMAGE, size, strength=0.6, num_inference_steps=2, note=ROUNDED)
    model.case("sd3_img2img_last_step", SD3_IMAGE, size, strength=0.2, num_inference_steps=5)
    model.case("sd3_img2img_heun", SD3_IMAGE, size, scheduler=HEUN, strength=0.6, num_inference_steps=5, **guided)
    model.case("sd3_img2img_resized", SD3_IMAGE, size, strength=0.5, num_inference_steps=4,
               from_size=((61, 93), size))
    model.case("sd3_img2img_batch_2_one_generator", SD3_IMAGE, size, prompt=two, strength=0.7, num_inference_steps=3,
               note=SHARED)
    model.case("sd3_img2img_batch_2_generators", SD3_IMAGE, size, generators=2, prompt=two, strength=0.7,
               num_inference_steps=3, note=ROWS)
    model.case("sd3_inpaint_06", SD3_INPAINT, size, strength=0.6, num_inference_steps=5, **guided)
    model.case("sd3_inpaint_full", SD3_INPAINT, size, disc_mask, strength=1.0, num_inference_steps=4, note=FULL,
               **guided)
    model.case("sd3_inpaint_full_1_step", SD3_INPAINT, size, strength=1.0, num_inference_steps=1, note=FULL)
    model.case("sd3_inpaint_2_steps", SD3_INPAINT, size, strength=0.6, num_inference_steps=2, note=ROUNDED)
    model.case("sd3_inpaint_heun", SD3_INPAINT, size, scheduler=HEUN, strength=0.6, num_inference_steps=5,
               note="two calls per step: both are blended")
    model.case("sd3_inpaint_resized", SD3_INPAINT, size, disc_mask, strength=0.8, num_inference_steps=3,
               from_size=((61, 93), (37, 51)))
    model.case("sd3_inpaint_batch_2_one_generator", SD3_INPAINT, size, prompt=two, strength=0.7, num_inference_steps=3,
               note=SHARED)
    model.case("sd3_inpaint_batch_2_generators", SD3_INPAINT, size, generators=2, prompt=two, strength=0.7,
               num_inference_steps=3, note=ONCE)
    Model(run, "sd35-medium").case("sd35_medium_inpaint_05", SD3_INPAINT, run.size(64, 48), strength=0.5,
                                   num_inference_steps=4, **guided)
    tiny = Model(run, "sd3", "taesd3")
    tiny.case("sd3_taesd3_txt2img", "StableDiffusion3Pipeline", size, num_inference_steps=3, **guided)
    tiny.case("sd3_taesd3_img2img", SD3_IMAGE, size, strength=0.6, num_inference_steps=4,
              note="AutoencoderTiny has no posterior: draw.0 is the noise")
    tiny.case("sd3_taesd3_inpaint", SD3_INPAINT, size, strength=0.7, num_inference_steps=3,
              note="AutoencoderTiny has no posterior: draw.0 is the noise")


def _flux(run):
    neg, two = run.prof["negative"], [run.prof["prompts"][i] for i in (0, 3)]
    size = run.size(48, 80)
    schnell = Model(run, "flux-schnell")
    plain = {"guidance_scale": 0.0}
    schnell.case("flux_schnell_img2img_06", FLUX_IMAGE, size, strength=0.6, num_inference_steps=4, **plain)
    schnell.case("flux_schnell_img2img_full", FLUX_IMAGE, size, strength=1.0, num_inference_steps=2, **plain)
    schnell.case("flux_schnell_inpaint_06", FLUX_INPAINT, size, strength=0.6, num_inference_steps=4, **plain)
    schnell.case("flux_schnell_inpaint_full_1_step", FLUX_INPAINT, size, strength=1.0, num_inference_steps=1, note=FULL,
                 **plain)
    tiny = Model(run, "flux-schnell", "taef1")
    tiny.case("flux_schnell_taef1_inpaint", FLUX_INPAINT, size, strength=0.7, num_inference_steps=3, **plain)
    dev, size = Model(run, "flux-dev"), run.size(64, 48)
    guided = {"guidance_scale": 3.5}
    both = {**guided, "negative_prompt": neg, "true_cfg_scale": 2.0}
    dev.case("flux_dev_img2img_2_steps", FLUX_IMAGE, size, strength=0.6, num_inference_steps=2, note=ROUNDED, **guided)
    dev.case("flux_dev_img2img_true_cfg", FLUX_IMAGE, size, strength=0.6, num_inference_steps=4, **both)
    dev.case("flux_dev_img2img_batch_2_generators", FLUX_IMAGE, size, generators=2, prompt=two, strength=0.7,
             num_inference_steps=3, note=ROWS, **guided)
    dev.case("flux_dev_inpaint_06", FLUX_INPAINT, size, strength=0.6, num_inference_steps=5, **guided)
    dev.case("flux_dev_inpaint_full_true_cfg", FLUX_INPAINT, size, disc_mask, strength=1.0, num_inference_steps=3,
             note=FULL, **both)
    dev.case("flux_dev_inpaint_resized", FLUX_INPAINT, size, disc_mask, strength=0.8, num_inference_steps=3,
             from_size=((61, 93), (37, 51)), **guided)
    dev.case("flux_dev_inpaint_batch_2_generators", FLUX_INPAINT, size, generators=2, prompt=two, strength=0.7,
             num_inference_steps=3, note=ONCE, **guided)


def cases(root, prof):
    run = Run(root, prof)
    _sd3(run)
    _flux(run)
    run.cases.write(model=PART, weights="those of the folder that each case names, computed in f32")
