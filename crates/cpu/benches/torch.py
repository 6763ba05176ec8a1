"""The rows of examples/bench.rs in PyTorch: one JSON line each, so that the two can be divided.

    python crates/cpu/benches/torch.py --threads 2 [--only conv]

A convolution is timed in both memory formats and the faster one is printed.
"""

import argparse
import json
import statistics
import sys
import time

# This file's own folder comes first on the path, and its own name would hide the library.
sys.path.pop(0)

import torch
import torch.nn.functional as F


def measure(run, runs):
    """Least and median seconds and least processor seconds over `runs` calls after one warm-up."""
    run()
    seconds, cpu = [], []
    for _ in range(runs):
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    return min(seconds), statistics.median(seconds), min(cpu)


def report(name, flops, seconds):
    least, median, cpu = seconds
    row = {"name": name, "ms": round(median * 1e3, 4), "min_ms": round(least * 1e3, 4), "cpu_ms": round(cpu * 1e3, 4)}
    row["gflops"] = round(flops / median / 1e9, 2)
    print(json.dumps(row), flush=True)


def conv(only, runs, side, c, o, kernel=3, stride=1, batch=1):
    name = f"conv{kernel}x{kernel}/{stride} {c}->{o}@{side}x{side}x{batch}"
    if only not in name:
        return
    best = None
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(batch, c, side, side).contiguous(memory_format=layout)
        w = torch.randn(o, c, kernel, kernel).contiguous(memory_format=layout)
        b = torch.randn(o)
        seconds = measure(lambda: F.conv2d(x, w, b, stride=stride, padding=kernel // 2), runs)
        best = seconds if best is None or seconds[1] < best[1] else best
    out = (side // stride) ** 2 * batch
    report(name, 2 * out * o * c * kernel * kernel, best)


def linear(only, runs, m, n, k, dtype="f32"):
    name = f"linear {dtype} {m}x{n}x{k}"
    if only not in name:
        return
    kind = {"f32": torch.float32, "f16": torch.float16}[dtype]
    x, w, b = torch.randn(m, k, dtype=kind), torch.randn(n, k, dtype=kind), torch.randn(n, dtype=kind)
    report(name, 2 * m * n * k, measure(lambda: F.linear(x, w, b), runs))


def attention(only, runs, queries, keys, heads, width, batch=1):
    name = f"attention {heads}x{queries}x{keys}x{width}x{batch}"
    if only not in name:
        return
    q = torch.randn(batch, queries, heads, width).transpose(1, 2)
    k = torch.randn(batch, keys, heads, width).transpose(1, 2)
    v = torch.randn(batch, keys, heads, width).transpose(1, 2)
    flops = 4 * batch * heads * queries * keys * width
    report(name, flops, measure(lambda: F.scaled_dot_product_attention(q, k, v), runs))


def elementwise(only, runs):
    x = torch.randn(2, 320, 64, 64).contiguous(memory_format=torch.channels_last)
    w, b = torch.randn(320), torch.randn(320)
    rows = torch.randn(8192, 320)
    wide = torch.randn(4096, 2560)
    jobs = {
        "group_norm+silu 320@64x64x2": lambda: F.silu(F.group_norm(x, 32, w, b, 1e-5)),
        "layer_norm 8192x320": lambda: F.layer_norm(rows, (320,), w, b, 1e-5),
        "silu 8192x320": lambda: F.silu(rows),
        "gelu 8192x320": lambda: F.gelu(rows),
        "geglu 4096x1280": lambda: wide[:, :1280] * F.gelu(wide[:, 1280:]),
    }
    for name, run in jobs.items():
        if only in name:
            report(name, 0, measure(run, runs * 3))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    only, runs = args.only, args.runs
    with torch.inference_mode():
        for side, c in [(64, 320), (32, 640), (16, 1280), (8, 1280)]:
            for batch in (1, 2):
                conv(only, runs, side, c, c, batch=batch)
        conv(only, runs, 64, 320, 320, stride=2)
        conv(only, runs, 64, 4, 320)
        conv(only, runs, 64, 320, 4)
        conv(only, runs, 64, 320, 320, kernel=1)
        for side, c in [(64, 512), (256, 256), (512, 128)]:
            conv(only, min(runs, 3), side, c, c)
        for m, n, k in [(4096, 320, 320), (4096, 2560, 320), (1024, 640, 640), (256, 1280, 1280)]:
            linear(only, runs, m, n, k)
        for m, n, k in [(77, 768, 768), (154, 768, 768), (154, 3072, 768), (154, 768, 3072)]:
            linear(only, runs, m, n, k)
        for m, n, k in [(1, 1280, 1280), (2, 1280, 320)]:
            linear(only, runs, m, n, k)
        attention(only, runs, 4096, 4096, 8, 40)
        attention(only, runs, 1024, 1024, 8, 80)
        attention(only, runs, 256, 256, 8, 160)
        attention(only, runs, 4096, 77, 8, 40)
        attention(only, runs, 1024, 77, 8, 80)
        attention(only, min(runs, 3), 4096, 4096, 1, 512)
        elementwise(only, runs)


if __name__ == "__main__":
    main()
