"""Requests two pictures over gRPC, one of the stub model and one of SDXL Turbo. The README explains how to run it."""

import io
import sys

import grpc
from PIL import Image

from generated import computervisionservice_pb2_grpc
from generated.ccv import texttoimagetaskrequest_pb2

PROMPT = "A golden retriever sitting in a grassy field"
PICTURES = {
    "stub_model": "stub_response_image.png",
    "sdxl_turbo_model": "turbo_response_image.png",
}


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else "localhost:8085"
    request = texttoimagetaskrequest_pb2.TextToImageTaskRequest(inputs=PROMPT, height=512, width=512)
    with grpc.insecure_channel(address) as channel:
        stub = computervisionservice_pb2_grpc.ComputerVisionServiceStub(channel)
        for model, path in PICTURES.items():
            metadata = [("mm-model-id", model)]
            response = stub.TextToImageTaskPredict(request, metadata=metadata, timeout=600)
            picture = Image.open(io.BytesIO(response.output.image_data))
            picture.save(path)
            print(f"{path}: {picture.width}x{picture.height}, {response.caption}")


if __name__ == "__main__":
    main()
