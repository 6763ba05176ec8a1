"""One model folder and its cases, for the folders whose cases are tables: text, denoiser and pipeline runs."""

import diffusers
import torch

from . import nets
from .common import Cases, observe, probe, randn, suggest
from .sd import image_inputs, pipeline_case

XL = "StableDiffusionXL"
I2I_NOTE = "draw.0: posterior sample of the VAE, draw.1: diffusion noise"


class Folder:
    """Loads the pipeline of a folder; pipelines of other classes share its components."""

    def __init__(self, root, prof, part, first_seed):
        self.prof, self.part, self.cases = prof, part, Cases(root)
        self.main, self.sizes = prof["name"] == "main", prof[part]
        self.prompts, self.negative = prof["prompts"], prof["negative"]
        self.pipe = diffusers.DiffusionPipeline.from_pretrained(root, dtype=torch.float32)
        self.shipped, self.seed = self.pipe.scheduler, first_seed
        height, width = self.sizes["hw"]
        self.size = {"height": height, "width": width}
        self.image, self.mask, self.pictures = image_inputs(prof, part, height, width)

    def text(self, clip_skips=(), max_length=None, keep=None):
        """All prompts through the text encoder; clip_skip_N as StableDiffusionPipeline conditions on it."""
        encoder = self.pipe.text_encoder
        ids, out = nets.text_case(self.pipe.tokenizer, encoder, self.prompts, max_length, keep)
        report = observe(lambda m, _d: nets.encode_ids(m, ids), encoder, out, list(out))
        with torch.no_grad():
            states = encoder(ids, output_hidden_states=True).hidden_states
            skipped = {f"clip_skip_{n}": encoder.final_layer_norm(states[-(n + 1)]) for n in clip_skips}
        info = {"max_length": max_length} if max_length else {}
        note = "conditioning = last_hidden_state"
        if clip_skips:
            note += "; clip_skip_N = final_layer_norm(hidden_states[-(N+1)])"
        self.cases.add("text", {"input_ids": ids, **out, **skipped}, kind="text", prompts=self.prompts, **info, note=note,
                       observed=report, tol=suggest(report))
        return out["last_hidden_state"]

    def unet(self, name, sample, t, states, probes=(), **inputs):
        """One UNet forward; inputs: further named tensors that the forward takes."""

        def forward(m, dtype):
            more = {k: v.to(dtype) for k, v in inputs.items()}
            return {"out": m(sample.to(dtype), t, encoder_hidden_states=states.to(dtype), **more).sample}

        unet = self.pipe.unet
        ref, seen = probe(unet, probes if self.main else [], lambda: forward(unet, torch.float32))
        report = observe(forward, unet, ref, ["out"])
        given = {"sample": sample, "timestep": torch.tensor(float(t)), "encoder_hidden_states": states, **inputs}
        self.cases.add(name, {**given, **ref, **seen}, kind="denoiser", observed=report, tol=suggest(report))

    def noise(self, name, *shape):
        return randn(shape, self.prof["seed"], self.part, name)

    def run(self, name, kind, scheduler=None, options=None, note=None, generators=None, **args):
        """A run of the pipeline class `kind`; generators: how many (None: one for the whole batch)."""
        pipe = self.pipe
        if kind != type(pipe).__name__:
            extra = {"add_watermarker": False} if XL in kind else {"requires_safety_checker": False}
            pipe = getattr(diffusers, kind)(**self.pipe.components, **extra)
        pipe.scheduler = self.shipped
        if scheduler:
            pipe.scheduler = getattr(diffusers, scheduler).from_config(self.shipped.config, **(options or {}))
        pictures = {}
        if "Img2Img" in kind or "Inpaint" in kind:
            args["image"], pictures["image_u8"] = self.image, self.pictures["image_u8"]
        if "Inpaint" in kind:
            args["mask_image"], pictures["mask_u8"] = self.mask, self.pictures["mask_u8"]
        if "Img2Img" not in kind:
            args = {**self.size, **args}
        self.seed += 1
        seed = [self.seed * 100 + i for i in range(generators)] if generators else self.seed
        pipeline_case(self.cases, self.prof, pipe, name, seed, self.main, info={"note": note} if note else None,
                      extra=pictures, **args)

    def write(self, **head):
        self.cases.write(model=self.part, **head)
