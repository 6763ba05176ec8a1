"""A Caikit client for gRPC: compiled by grpcio-tools from the definitions that `easel export-protos` writes, as in
`examples/caikit`, which is run too."""

import importlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types
import unittest

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from PIL import Image

from easel import EASEL, SIZE, Server

ROOT = pathlib.Path(__file__).parents[2]

# Far more steps than a test waits for.
SLOW = {"height": SIZE, "width": SIZE, "num_steps": 1000}


def compiled(folder):
    """Compiles the exported definitions into `folder`/generated, and imports them."""
    protos = folder / "protos"
    generated = folder / "generated"
    generated.mkdir()
    subprocess.run([EASEL, "export-protos", protos], check=True, stdout=subprocess.DEVNULL)
    compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}"]
    output = [f"--python_out={generated}", f"--grpc_python_out={generated}"]
    subprocess.run([*compiler, *output, *(path.name for path in protos.iterdir())], check=True)
    sys.path.insert(0, str(generated))
    runtime = "caikit_data_model.common.runtime"
    return types.SimpleNamespace(
        vision=importlib.import_module("computervisionservice_pb2_grpc"),
        info=importlib.import_module("infoservice_pb2_grpc"),
        task=importlib.import_module("ccv.texttoimagetaskrequest_pb2"),
        models=importlib.import_module(f"{runtime}.modelinforequest_pb2"),
        runtime=importlib.import_module(f"{runtime}.runtimeinforequest_pb2"),
    )


def turbo(folder):
    """easel-emoji under the name of SDXL Turbo, as Caikit saves a model."""
    model = folder / "sdxl_turbo_model"
    shutil.copytree(ROOT / "models/easel-emoji", model / "sdxl_model")
    (model / "config.yml").write_text("module_id: 28aa777c\nname: SDXL\nsdxl_model: ./sdxl_model\n")
    return model


def picture(response):
    return Image.open(io.BytesIO(response.output.image_data))


class Caikit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.folder.name)
        config = folder / "easel.toml"
        config.write_text(f'models = ["{turbo(folder)}"]\n')
        cls.server = Server("--grpc", "127.0.0.1:0", "--config", str(config))
        cls.generated = compiled(folder)
        cls.channel = grpc.insecure_channel(cls.server.addresses["gRPC"])
        cls.vision = cls.generated.vision.ComputerVisionServiceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.close()
        cls.folder.cleanup()

    def request(self, **fields):
        return self.generated.task.TextToImageTaskRequest(**{"inputs": "a red apple"} | fields)

    def predict(self, model, timeout=120, **fields):
        metadata = [("mm-model-id", model)] if model else []
        return self.vision.TextToImageTaskPredict(self.request(**fields), metadata=metadata, timeout=timeout)

    def test_pictures_have_the_size_and_the_format_that_were_requested(self):
        stub = self.predict("stub_model", height=500, width=550)
        self.assertEqual(picture(stub).getcolors(), [(550 * 500, (0, 100, 200))])
        self.assertEqual(stub.caption, "a red apple")
        self.assertTrue(stub.producer_id.name and stub.producer_id.version)
        for name in ["JPEG", "webp", "bmp", "tiff", "gif"]:
            found = picture(self.predict("stub", height=SIZE, width=SIZE, image_format=name))
            self.assertEqual((found.format, found.size), (name.upper(), (SIZE, SIZE)))
        emoji = picture(self.predict("easel-emoji", height=69, width=75, num_steps=2, image_format="jpeg"))
        self.assertEqual((emoji.format, emoji.size), ("JPEG", (72, 72)))
        self.assertGreater(len(emoji.getcolors(72 * 72)), 10)

    def test_errors_have_their_status(self):
        wrong = [
            (None, {}, "INVALID_ARGUMENT", "mm-model-id"),
            ("no-such-model", {}, "NOT_FOUND", "no-such-model"),
            ("stub_model", {"inputs": ""}, "INVALID_ARGUMENT", "inputs"),
            ("stub_model", {"height": 4096}, "INVALID_ARGUMENT", "height"),
            ("stub_model", {"num_steps": -1}, "INVALID_ARGUMENT", "num_steps"),
            ("stub_model", {"image_format": "svg"}, "INVALID_ARGUMENT", "image_format"),
        ]
        for model, fields, code, part in wrong:
            with self.subTest(part), self.assertRaises(grpc.RpcError) as refused:
                self.predict(model, **fields)
            self.assertEqual(refused.exception.code().name, code)
            self.assertIn(part, refused.exception.details())

    def test_a_call_that_is_cancelled_or_too_late_cancels_its_task(self):
        call = self.vision.TextToImageTaskPredict.future(self.request(**SLOW), metadata=[("mm-model-id", "easel-emoji")])
        self.server.until(lambda: "processing" in self.server.statuses())
        call.cancel()
        self.server.until(lambda: self.server.statuses()[0] == "cancelled")
        with self.assertRaises(grpc.RpcError) as late:
            self.predict("easel-emoji", timeout=0.5, **SLOW)
        self.assertEqual(late.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.server.until(lambda: self.server.statuses()[:2] == ["cancelled", "cancelled"])

    def test_the_runtime_and_its_models(self):
        info = self.generated.info.InfoServiceStub(self.channel)
        self.assertTrue(info.GetRuntimeInfo(self.generated.runtime.RuntimeInfoRequest()).runtime_version)
        wanted = ["easel-emoji", "sdxl_turbo_model", "stub_model"]
        answer = info.GetModelsInfo(self.generated.models.ModelInfoRequest(model_ids=wanted))
        models = {model.name: model for model in answer.models}
        self.assertEqual(sorted(models), wanted)
        emoji = models["easel-emoji"]
        self.assertEqual((emoji.metadata["width"], emoji.module_metadata["name"]), (128, "easel"))
        self.assertGreater(emoji.size, 1 << 20)
        turbo = models["sdxl_turbo_model"]
        self.assertEqual((turbo.module_id, turbo.module_metadata["name"]), ("28aa777c", "SDXL"))

    def test_health_and_reflection(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        for service in ["", "ccv.ComputerVisionService"]:
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING, service)
        with self.assertRaises(grpc.RpcError) as unknown:
            health.Check(health_pb2.HealthCheckRequest(service="no.such.Service"))
        self.assertEqual(unknown.exception.code(), grpc.StatusCode.NOT_FOUND)
        described = ProtoReflectionDescriptorDatabase(self.channel)
        self.assertLessEqual({"ccv.ComputerVisionService", "caikit.runtime.info.InfoService"}, set(described.get_services()))
        file = described.FindFileContainingSymbol("ccv.ComputerVisionService")
        self.assertEqual(file.name, "computervisionservice.proto")

    def test_the_example(self):
        folder = pathlib.Path(self.folder.name)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([self.folder.name, str(folder / "generated")])}
        example = [sys.executable, ROOT / "examples/caikit/sample_client.py", self.server.addresses["gRPC"]]
        subprocess.run(example, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        for name in ["stub_response_image.png", "turbo_response_image.png"]:
            with Image.open(folder / name) as found:
                self.assertEqual(found.size, (512, 512), name)


if __name__ == "__main__":
    unittest.main()
