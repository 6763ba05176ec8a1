"""Times a step of stable-diffusion.cpp and of Easel on Stable Diffusion 1.5 at 512x512, guided: two predictions a step.

    CMAKE_ARGS="-DGGML_NATIVE=ON" pip install --no-binary stable-diffusion-cpp-python stable-diffusion-cpp-python
    python tests/browser/large.py MODEL
    python benches/stable-diffusion.cpp/bench.py MODEL target/release/easel [--threads 2] [--runs 3] [--types f16 q8_0]

MODEL is a diffusers folder; the one that large.py writes has random weights. stable-diffusion.cpp predicts with and without
the prompt one after the other, Easel both in one batch. The fastest row of each program counts; every row runs in its own
process. Prints a line of JSON per row, then the ratio.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Weight types, with the same names in both programs.
TYPES = ["f32", "f16", "q8_0"]
# Its options for speed; neither is the default.
VARIANTS = {"": {}, "flash": {"diffusion_flash_attn": True}, "direct": {"diffusion_conv_direct": True}}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a diffusers folder")
    parser.add_argument("easel", help="the Easel program to compare with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3, help="timed steps, after one untimed")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=["f16", "q8_0"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--row", nargs=2, metavar=("TYPE", "VARIANT"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = arguments()
    if args.row:
        return measure(args, *args.row)
    theirs = [in_child(args, dtype, variant) for dtype in args.types for variant in args.variants]
    ours = [easel(args, dtype) for dtype in args.types]
    best = [min(rows, key=lambda row: row["seconds"]) for rows in (ours, theirs)]
    seconds = [row["seconds"] for row in best]
    kinds = [" ".join(filter(None, [row["dtype"], row.get("variant")])) for row in best]
    print(f"Easel ({kinds[0]}) {seconds[0]:.2f} s, stable-diffusion.cpp ({kinds[1]}) {seconds[1]:.2f} s a step: "
          f"ratio {seconds[0] / seconds[1]:.2f}")


def in_child(args, dtype, variant):
    options = ["--threads", str(args.threads), "--runs", str(args.runs), "--row", dtype, variant]
    command = [sys.executable, __file__, args.model, args.easel, *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith('{"runtime"')]
    if not rows:
        sys.exit(f"bench.py: stable-diffusion.cpp in {dtype} failed: {done.stderr.strip()[-500:]}")
    print(rows[-1], flush=True)
    return json.loads(rows[-1])


def measure(args, dtype, variant):
    """Ends the process after the last step: the decoder is not timed. Turning the library's messages off would silence ours."""
    from stable_diffusion_cpp import StableDiffusion

    folder = with_old_names(args.model)
    model = StableDiffusion(
        model_path=folder, wtype=dtype, n_threads=args.threads, rng_type="cpu", **VARIANTS[variant]
    )
    ends = []

    def progress(step, steps, seconds):
        # It is also called while weights load, with their count.
        if steps != args.runs + 1:
            return
        ends.append(time.perf_counter())
        if len(ends) <= args.runs:
            return
        seconds = statistics.median(after - before for before, after in zip(ends, ends[1:]))
        row = {"runtime": "stable-diffusion.cpp", "dtype": dtype, "variant": variant, "threads": args.threads, "seconds": seconds}
        print(json.dumps(row), flush=True)
        os._exit(0)

    model.generate_image(
        prompt="a red apple", negative_prompt="blurry", width=512, height=512, cfg_scale=7.0, sample_method="euler",
        sample_steps=args.runs + 1, seed=1, progress_callback=progress,
    )


def with_old_names(model):
    """The folder, or a copy with older transformers' names in the text encoder, which are the only ones that it reads."""
    from safetensors.numpy import load_file, save_file

    text = load_file(f"{model}/text_encoder/model.safetensors")
    if any(name.startswith("text_model.") for name in text):
        return model
    folder = Path(tempfile.gettempdir(), "easel-sd15-old-names")
    (folder / "text_encoder").mkdir(parents=True, exist_ok=True)
    save_file({f"text_model.{name}": tensor for name, tensor in text.items()}, folder / "text_encoder/model.safetensors")
    for part in ["unet", "vae"]:
        if not (folder / part).exists():
            (folder / part).symlink_to(Path(model, part).resolve())
    return str(folder)


def easel(args, dtype):
    options = ["--dtype", dtype, "--threads", str(args.threads), "--runs", str(args.runs)]
    done = subprocess.run([args.easel, "bench", "sd15-unet", "--json", *options], stdout=subprocess.PIPE, text=True, check=True)
    row = json.loads(done.stdout)
    print(done.stdout.strip(), flush=True)
    return {"dtype": dtype, "seconds": row["seconds"]}


main()
