"""Draws a picture with Easel, and says what is in it: CLIP scores two concepts, and SAM cuts out one box.

    easel serve --clip clip-vit-base-patch32 --sam mobile-sam
    python3 examples/analysis/client.py "a red apple" --concepts "an apple,a car" --box 16,16,112,112

It needs nothing but Python. It writes apple.png and the masks apple-1.png, apple-2.png and apple-3.png for `-o apple.png`.
"""

import argparse
import base64
import json
import pathlib
import sys
import urllib.error
import urllib.request


def post(url, body):
    """The answer to a request as JSON; ends the program with the server's message if there is none."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refused:
        sys.exit(f"{url}: {refused.code}: {json.load(refused)['error']}")
    except urllib.error.URLError as unreachable:
        sys.exit(f"{url}: {unreachable.reason}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompt")
    parser.add_argument("--concepts", default="an apple,a car", help="texts with commas between them")
    parser.add_argument("--box", default="16,16,112,112", help="left,top,right,bottom in pixels")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--url", default="http://127.0.0.1:8100")
    parser.add_argument("-o", "--output", type=pathlib.Path, default="apple.png")
    args = parser.parse_args()

    drawn = post(f"{args.url}/api/generate", {"prompt": args.prompt, "seed": args.seed})
    image = drawn["generated_image"]
    args.output.write_bytes(base64.b64decode(image))
    print(f"{args.output} (request {drawn['request_id']})")

    box = [float(number) for number in args.box.split(",")]
    question = {"image": image, "texts": args.concepts.split(","), "roi": [box]}
    seen = post(f"{args.url}/api/analyze", question)

    clip = seen["clip_analysis"]
    if "error" in clip:
        print(clip["error"])
    else:
        for concept, score in zip(clip["concepts"], clip["confidence_scores"]):
            print(f"{score:6.1%}  {concept}")
        print(f"most of all: {clip['max_confidence_concept']}")

    found = seen["basic_segmentation"]
    if "error" in found:
        print(found["error"])
        return
    for number, (mask, score) in enumerate(zip(found["masks"], found["iou_scores"]), 1):
        path = args.output.with_stem(f"{args.output.stem}-{number}")
        path.write_bytes(base64.b64decode(mask))
        rings = len(found["polygons"][number - 1])
        print(f"{path}: expected overlap {score:.2f}, {rings} rings")


if __name__ == "__main__":
    main()
