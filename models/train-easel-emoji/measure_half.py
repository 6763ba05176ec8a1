"""Tolerances for f16: how far the diffusers pipeline computed in f16 (weights, activations and latents, on the CPU) is from its f32 run.

Adds `observed` and `tol` to every case of cases.json, by the rule of tests/golden: tol = max(3e-3, 3 * observed)."""
import argparse, json
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file


@torch.no_grad()
def main():
    ap = argparse.ArgumentParser(); ap.add_argument("--model", default="easel-emoji"); ap.add_argument("--cases", default="easel-emoji-cases"); a = ap.parse_args()
    pipe = StableDiffusionPipeline.from_pretrained(a.model, torch_dtype=torch.float16); pipe.set_progress_bar_config(disable=True)
    tensors, document = load_file(f"{a.cases}/cases.safetensors"), json.load(open(f"{a.cases}/cases.json"))
    for case in document["cases"]:
        at = lambda name: tensors[case["tensors"] + name]
        run = lambda kind: pipe(case["prompt"], num_inference_steps=case["steps"], guidance_scale=case["guidance_scale"], height=case["height"],
                                width=case["width"], latents=at("initial_latents").half(), output_type=kind).images.float()
        error = lambda got, wanted: ((got - wanted).abs().max() / wanted.abs().max()).item()
        observed = dict(final_latents=error(run("latent"), at("final_latents")), image=error(run("pt"), at("image")))
        case["observed"] = dict(f16=observed)
        case["tol"] = dict(f16={name: max(3e-3, 3 * value) for name, value in observed.items()})
        print(case["prompt"], observed, flush=True)
    document["tolerances"] = f"torch {torch.__version__}, CPU, all of the pipeline in f16 against the f32 run: max|a-b| / max|reference|, times 3, at least 3e-3"
    json.dump(document, open(f"{a.cases}/cases.json", "w"), indent=1)


if __name__ == "__main__":
    main()
