"""Distils a trained model into one that draws in four steps without guidance (or in two, or one).

The teacher walks from noise to picture in many steps of DDIM, with guidance, and the latents at the student's time steps are kept. The
student learns to go from each of them to the next in one step of DDIM: progressive distillation (arxiv.org/abs/2202.00512) in one go, with
guidance learned along (arxiv.org/abs/2210.03142). A walk is drawn once and learned from many times: it costs as much as learning from it
some thirteen times.

    python distil.py walk --teacher work --pool pool --out walks --count 20000
    python distil.py learn --walks walks --init work --work student --pictures 800000 --decay 200000
"""
import argparse
import glob
import os
import random

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import model
from compose import Composer
from train import Trainer, arguments, start, write

SHARD = 128


def knots(steps):
    """The student's time steps, from pure noise on, as DDIM with trailing spacing has them; and the end."""
    return [1000 - 1000 * i // steps - 1 for i in range(steps)] + [-1]


def level(abar, t):
    """How much signal and how much noise there is at a time step; at the end, -1, there is no noise."""
    ab = torch.where(t < 0, torch.ones(()), abar[t.clamp(min=0)])
    return ab.sqrt().view(-1, 1, 1, 1), (1 - ab).sqrt().view(-1, 1, 1, 1)


class Teacher:
    def __init__(self, folder, channels, guidance, threads):
        torch.set_num_threads(threads)
        self.tok = model.load_tokenizer(f"{folder}/tokenizer")
        self.text = model.new_text_encoder(self.tok).eval()
        self.unet = model.new_unet(channels).eval()
        self.text.load_state_dict(load_file(f"{folder}/text.safetensors"))
        self.unet.load_state_dict(load_file(f"{folder}/unet.safetensors"))
        self.unet = self.unet.to(memory_format=torch.channels_last)
        self.guidance = guidance

    @torch.no_grad()
    def walk(self, captions, many, few, generator):
        """Latents at the `few` + 1 knots of walks in `many` steps: [n, few + 1, 4, 16, 16]."""
        assert many % few == 0, "the teacher's steps must be a multiple of the student's"
        words = self.tok([""] * len(captions) + captions, padding="max_length", max_length=model.MAX_LEN, truncation=True, return_tensors="pt")
        states = self.text(input_ids=words.input_ids)[0]
        scheduler = model.scheduler()
        scheduler.set_timesteps(many)
        x = torch.randn(len(captions), 4, 16, 16, generator=generator)
        kept = []
        for i, t in enumerate(scheduler.timesteps):
            if i % (many // few) == 0:
                assert t == knots(few)[len(kept)]
                kept.append(x)
            both = torch.cat([x, x]).contiguous(memory_format=torch.channels_last)
            plain, asked = self.unet(both, t, states, return_dict=False)[0].chunk(2)
            x = scheduler.step(plain + self.guidance * (asked - plain), t, x, return_dict=False)[0]
        return torch.stack([*kept, x], 1)


def walk(a):
    """Draws walks in shards until there are enough; shards that are there stay."""
    os.makedirs(a.out, exist_ok=True)
    teacher = Teacher(a.teacher, tuple(int(n) for n in a.channels.split(",")), a.guidance, a.threads)
    composer = Composer(a.pool)
    for shard in range(-(-a.count // SHARD)):
        path = f"{a.out}/walks-{shard:05}.pt"
        if os.path.exists(path):
            continue
        composer.rng.seed(shard)
        _, captions = composer.batch(SHARD)
        generator = torch.Generator().manual_seed(shard)
        z = teacher.walk(captions, a.teacher_steps, a.steps, generator)
        write(path, lambda path: torch.save(dict(z=z.half(), captions=captions, guidance=a.guidance), path))
        print(path, flush=True)


class Walks:
    """The walks in a folder, in any order."""

    def __init__(self, folder, seed):
        self.folder = folder
        self.rng = random.Random(seed)
        self.files, self.walks = [], []
        self.refresh()

    def refresh(self):
        """Takes up the shards that were written since."""
        for path in sorted(glob.glob(f"{self.folder}/walks-*.pt")):
            if path not in self.files:
                shard = torch.load(path, weights_only=False)
                self.walks += zip(shard["z"], shard["captions"])
                self.files.append(path)
        if not self.walks:
            raise SystemExit(f"{self.folder}: no walks: make some with `distil.py walk`")

    def batch(self, n):
        picked = self.rng.choices(self.walks, k=n)
        return torch.stack([z for z, _ in picked]).float(), [c for _, c in picked]


class Distilling(Trainer):
    """Learns each stretch of the teacher's walks as one step."""

    def __init__(self, a):
        super().__init__(a)
        self.data = Walks(a.walks, self.step)
        self.knots = torch.tensor(knots(a.steps))

    def learn(self):
        """One step of training. Gives the mean square error of v."""
        walks, captions = self.data.batch(self.a.batch)
        n = len(walks)
        stretch = torch.randperm(n) % self.a.steps
        every = (walks.shape[1] - 1) // self.a.steps
        here = walks[torch.arange(n), stretch * every]
        there = walks[torch.arange(n), (stretch + 1) * every]
        t, after = self.knots[stretch], self.knots[stretch + 1]
        signal, noise = level(self.abar, t)
        signal_after, noise_after = level(self.abar, after)
        # DDIM goes from x to (aa' + ss') x + (as' - a's) v.
        share = signal * noise_after - signal_after * noise
        v = (there - (signal * signal_after + noise * noise_after) * here) / share
        y = self.predict(here, t, captions)
        error = F.mse_loss(y, v, reduction="none").mean((1, 2, 3))
        # The error of the latents that the step arrives at; each stretch counts by how far it goes.
        weight = share.square().view(-1)
        self.descend((error * weight).mean() / weight.mean(), n)
        return error.mean().item()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)
    w = sub.add_parser("walk", help="draw walks of the teacher")
    w.add_argument("--teacher", required=True, help="folder with text.safetensors, unet.safetensors, tokenizer/")
    w.add_argument("--pool", required=True, help="folder of shards written by pool.py, for their captions")
    w.add_argument("--out", required=True)
    w.add_argument("--count", type=int, default=20000)
    w.add_argument("--channels", default="64,128,192")
    w.add_argument("--guidance", type=float, default=4.0)
    w.add_argument("--teacher-steps", type=int, default=20)
    w.add_argument("--threads", type=int, default=2)
    learn = sub.add_parser("learn", help="train the student")
    learn.add_argument("--walks", required=True)
    arguments(learn)
    for p in (w, learn):
        p.add_argument("--steps", type=int, default=4, help="of the student")
    a = ap.parse_args()
    if a.command == "walk":
        walk(a)
    else:
        start(Distilling, a)


if __name__ == "__main__":
    main()
