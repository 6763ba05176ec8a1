"""Times diffusers and transformers on the architectures, shapes, types and thread counts of `easel bench`.

    python bench.py sd15-unet vae-decode --threads 2
    easel bench sd15-unet --json > easel.json && python bench.py sd15-unet --easel easel.json

With --easel, every row of that file is timed with its own size, batch, type and thread count, and the ratios are printed.
Each architecture runs in a separate process, to measure its peak memory. On CUDA, or with --compile, networks are timed with
and without torch.compile; the peak there is the GPU's memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = ROOT / "native-host/src/bench/architectures.json"
TOKENS = 77
T5_TOKENS = 256


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to time, or all")
    parser.add_argument("--size", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--dtype", choices=["f32", "f16", "bf16"], default="f32")
    parser.add_argument("--device", choices=["auto", "cpu", "gpu", "cuda", "metal"], default="cpu")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compile", action="store_true", help="also time networks with torch.compile")
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")
    parser.add_argument("--easel", type=Path, metavar="FILE", help="the output of `easel bench --json`")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = arguments()
    architectures = {a["name"]: a for a in json.loads(ARCHITECTURES.read_text())}
    if args.in_process:
        print(json.dumps(measure(architectures[args.names[0]], args)))
        return
    rivals = [json.loads(line) for line in args.easel.read_text().splitlines()] if args.easel else []
    names = [rival["name"] for rival in rivals] or args.names
    names = list(architectures) if "all" in names else names
    unknown = [name for name in names if name not in architectures]
    if unknown or not names:
        sys.exit(f"bench.py: {f'unknown name {unknown[0]}' if unknown else 'no name'}, expected one of {', '.join(architectures)}, all")
    rows = []
    for i, name in enumerate(names):
        rival = rivals[i] if rivals else None
        results = [in_child(name, args, rival)]
        if args.compile or results[0]["device"] == "cuda":
            results.append(in_child(name, args, rival, "--compile"))
        for result in results:
            if args.json:
                print(json.dumps(result), flush=True)
            rows.append((result, rival))
    if not args.json:
        report(rows)


def in_child(name, args, rival, *more):
    """Runs this file again for one architecture, with the settings of the rival's row if there is one."""
    command = [sys.executable, __file__, name, "--in-process", *more]
    for option in ["size", "batch", "dtype", "device", "runs", "threads"]:
        value = rival[option] if rival else getattr(args, option)
        if value:
            command += [f"--{option}", str(value)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"bench.py: {name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def measure(architecture, args):
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[args.dtype]
    device = pick_device(torch, args.device)
    size = 0 if architecture["kind"] == "text" else args.size or architecture["size"]
    batch = args.batch or architecture["batch"]
    began = time.perf_counter()
    run = prepare(torch, architecture, dtype, device, size, batch, torch.compile if args.compile else lambda model: model)
    load_seconds = time.perf_counter() - began
    with torch.inference_mode():
        # One run to warm up; the counter would keep torch from compiling.
        gflop = None if args.compile else count_flop(run) / 1e9
        if args.compile:
            run()
        seconds = []
        for _ in range(args.runs):
            began = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    return {
        "name": architecture["name"],
        "runtime": "diffusers, compiled" if args.compile else "diffusers",
        "device": device,
        "dtype": args.dtype,
        "threads": torch.get_num_threads(),
        "size": size,
        "batch": batch,
        "runs": args.runs,
        "load_seconds": load_seconds,
        "seconds": median,
        "min_seconds": min(seconds),
        "gflop": gflop,
        "gflop_per_second": gflop and gflop / median,
        "peak_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes(),
    }


def pick_device(torch, device):
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return {"auto": best, "gpu": best, "metal": "mps"}.get(device, device)


def prepare(torch, architecture, dtype, device, size, batch, compiled):
    """Returns a function that runs the architecture once and waits for the result. `compiled` is applied to its network."""
    kinds = {"unet": unet, "mmdit": mmdit, "decoder": decoder, "text": text, "sam": sam, "clip": clip, "product": product,
             "pipeline": pipeline}
    make = kinds[architecture["kind"]]
    return make(torch, architecture.get("config"), dtype, device, size, batch, compiled)


def wave(torch, shape, dtype, device):
    """Smooth artificial input between -1 and 1."""
    count = int(torch.tensor(shape).prod())
    return (torch.arange(count, dtype=torch.float32) * 0.37).sin().reshape(shape).to(device, dtype)


def unet(torch, config, dtype, device, size, batch, compiled):
    from diffusers import UNet2DConditionModel

    torch.set_default_dtype(dtype)
    model = compiled(UNet2DConditionModel.from_config(config).to(device).eval())
    torch.set_default_dtype(torch.float32)
    sample = wave(torch, [batch, config["in_channels"], size // 8, size // 8], dtype, device)
    states = wave(torch, [batch, TOKENS, config["cross_attention_dim"]], dtype, device)
    added = None
    if config.get("addition_embed_type") == "text_time":
        width = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        time_ids = torch.tensor([[size, size, 0, 0, size, size]] * batch, dtype=dtype, device=device)
        added = {"text_embeds": wave(torch, [batch, width], dtype, device), "time_ids": time_ids}
    return lambda: model(sample, 500, states, added_cond_kwargs=added).sample.float().cpu()


def mmdit(torch, config, dtype, device, size, batch, compiled):
    from diffusers import SD3Transformer2DModel

    torch.set_default_dtype(dtype)
    model = compiled(SD3Transformer2DModel.from_config(config).to(device).eval())
    torch.set_default_dtype(torch.float32)
    sample = wave(torch, [batch, config["in_channels"], size // 8, size // 8], dtype, device)
    states = wave(torch, [batch, TOKENS + T5_TOKENS, config["joint_attention_dim"]], dtype, device)
    pooled = wave(torch, [batch, config["pooled_projection_dim"]], dtype, device)
    time = torch.full([batch], 500.0, dtype=dtype, device=device)
    return lambda: model(sample, states, pooled, time).sample.float().cpu()


def decoder(torch, config, dtype, device, size, batch, compiled):
    import diffusers

    torch.set_default_dtype(dtype)
    model = getattr(diffusers, config["_class_name"]).from_config(config).to(device).eval()
    torch.set_default_dtype(torch.float32)
    latents = wave(torch, [batch, config["latent_channels"], size // 8, size // 8], dtype, device)
    decode = compiled(model.decode)
    return lambda: decode(latents).sample.float().cpu()


def product(torch, config, dtype, device, size, batch, compiled):
    x, weight = wave(torch, [size, size], dtype, device), torch.rand(size, size).sub(0.5).to(device, dtype)
    multiply = compiled(torch.nn.functional.linear)
    return lambda: multiply(x, weight)[:1].float().cpu()


def text(torch, config, dtype, device, size, batch, compiled):
    import transformers

    settings = {key: value for key, value in config.items() if not key.startswith("_") and key != "model_type"}
    torch.set_default_dtype(dtype)
    model = getattr(transformers, config["architectures"][0])(transformers.CLIPTextConfig(**settings))
    torch.set_default_dtype(torch.float32)
    model = compiled(model.to(device).eval())
    ids = token_ids(torch, batch, device)
    return lambda: model(ids).last_hidden_state.float().cpu()


def token_ids(torch, batch, device):
    return torch.tensor([[b * 1000 + t * 37 for t in range(TOKENS)] for b in range(batch)], device=device)


def sam(torch, config, dtype, device, size, batch, compiled):
    import transformers

    torch.set_default_dtype(dtype)
    model = transformers.SamModel(transformers.SamConfig(vision_config=config["vision_config"]))
    torch.set_default_dtype(torch.float32)
    encoder = compiled(model.to(device).eval().vision_encoder)
    pixels = wave(torch, [batch, 3, size, size], dtype, device)
    return lambda: encoder(pixels)[0].float().cpu()


def clip(torch, config, dtype, device, size, batch, compiled):
    import transformers

    settings = {key: config[key] for key in ("projection_dim", "text_config", "vision_config")}
    torch.set_default_dtype(dtype)
    model = transformers.CLIPModel(transformers.CLIPConfig(**settings))
    torch.set_default_dtype(torch.float32)
    model = compiled(model.to(device).eval())
    ids = token_ids(torch, (batch + 1) // 2, device)
    pixels = wave(torch, [batch, 3, size, size], dtype, device)
    return lambda: model(input_ids=ids, pixel_values=pixels).logits_per_image.float().cpu()


def pipeline(torch, config, dtype, device, size, batch, compiled):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(ROOT / "models/easel-emoji", torch_dtype=dtype).to(device)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet = compiled(pipe.unet)
    generators = [torch.Generator("cpu").manual_seed(1 + i) for i in range(batch)]

    def run():
        settings = {"num_inference_steps": 20, "guidance_scale": 4.0, "width": size, "height": size}
        return pipe(["a red apple"] * batch, generator=generators, **settings).images

    return run


def count_flop(run):
    """Runs once to warm up, and counts the floating-point operations of matrix products, convolutions and attention."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def peak_bytes():
    """The peak resident size of this process (Linux, macOS)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_of(rival):
    """Easel's peak: the GPU's memory if it ran on one."""
    return rival.get("gpu_peak_bytes") or rival["peak_bytes"]


def report(rows):
    header = ["NAME", "SIZE", "BATCH", "TYPE", "THREADS", "DIFFUSERS", "EASEL", "TIME RATIO", "PEAK", "PEAK EASEL"]
    table = [header]
    for ours, rival in rows:
        seconds = f"{rival['seconds']:.3f} s" if rival else "-"
        ratio = f"{ours['seconds'] / rival['seconds']:.2f}" if rival else "-"
        peaks = [f"{peak / 1e6:.0f} MB" if peak else "-" for peak in (ours["peak_bytes"], rival and peak_of(rival))]
        table.append(
            [ours["name"] + ours["runtime"].removeprefix("diffusers"), str(ours["size"] or "-"), str(ours["batch"])]
            + [ours["dtype"], str(ours["threads"]), f"{ours['seconds']:.3f} s", seconds, ratio, *peaks]
        )
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    if any(rival for _, rival in rows):
        print("TIME RATIO: diffusers' median over Easel's; above 1 Easel is faster.")


if __name__ == "__main__":
    main()
