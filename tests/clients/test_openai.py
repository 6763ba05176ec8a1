"""The package `openai`: generate, stream, edit, list, and the classes of its errors."""

import base64
import io
import tempfile
import threading
import unittest

import httpx2
import openai
from PIL import Image

from easel import SIZE, Server, new_key

SIZED = f"{SIZE}x{SIZE}"
QUICK = {"steps": 3, "seed": 7}


def picture(data):
    return Image.open(io.BytesIO(base64.b64decode(data)))


class OpenAi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.client = openai.OpenAI(base_url=f"{cls.server.url}/v1", api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.close()

    def generate(self, **changes):
        request = {"model": "easel-emoji", "prompt": "a red apple", "size": SIZED, "extra_body": QUICK}
        return self.client.images.generate(**request | changes)

    def test_pictures_by_address(self):
        answer = self.generate(model="dall-e-3", n=2)
        self.assertEqual((len(answer.data), answer.data[0].b64_json), (2, None))
        fetched = httpx2.get(answer.data[1].url)
        self.assertEqual(fetched.headers["content-type"], "image/png")
        found = Image.open(io.BytesIO(fetched.content))
        self.assertEqual(found.size, (SIZE, SIZE))
        self.assertIn("Seed: 8", found.text["parameters"])

    def test_pictures_in_base64(self):
        answer = self.generate(model="gpt-image-1", output_format="webp")
        self.assertEqual((picture(answer.data[0].b64_json).format, answer.size), ("WEBP", SIZED))
        again = self.generate(model="gpt-image-1", output_format="webp")
        self.assertEqual(again.data[0].b64_json, answer.data[0].b64_json, "a seed draws the same")

    def test_a_stream_with_previews(self):
        with self.generate(stream=True, partial_images=2, extra_body={"steps": 6, "seed": 7}) as stream:
            events = list(stream)
        kinds = [event.type for event in events]
        self.assertEqual(kinds[-1], "image_generation.completed")
        self.assertEqual(set(kinds[:-1]), {"image_generation.partial_image"})
        self.assertEqual([event.partial_image_index for event in events[:-1]], [0, 1])
        self.assertEqual(picture(events[-1].b64_json).size, (SIZE, SIZE))

    def test_an_edit_with_a_mask(self):
        start = picture(self.generate(response_format="b64_json").data[0].b64_json)
        mask = Image.new("RGBA", start.size, (0, 0, 0, 255))
        mask.paste((0, 0, 0, 0), (16, 16, 48, 48))
        files = {}
        for name, image in {"image": start, "mask": mask}.items():
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            files[name] = (f"{name}.png", buffer.getvalue(), "image/png")
        answer = self.client.images.edit(
            **files, model="easel-emoji", prompt="a blue star", size=SIZED, response_format="b64_json", extra_body=QUICK
        )
        edited = picture(answer.data[0].b64_json).convert("RGB")
        start = start.convert("RGB")
        outside = [(x, y) for x in range(SIZE) for y in range(SIZE) if not (16 <= x < 48 and 16 <= y < 48)]
        self.assertTrue(all(edited.getpixel(at) == start.getpixel(at) for at in outside), "the rest stays")
        self.assertNotEqual(edited.tobytes(), start.tobytes())

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["easel-emoji", "stub"])
        self.assertEqual(self.client.models.retrieve("easel-emoji").owned_by, "easel")

    def test_errors_have_their_classes(self):
        with self.assertRaises(openai.BadRequestError) as refused:
            self.generate(size="100x100")
        self.assertEqual((refused.exception.param, refused.exception.type), ("size", "invalid_request_error"))
        with self.assertRaises(openai.NotFoundError) as unknown:
            self.generate(model="midjourney")
        self.assertEqual(unknown.exception.code, "model_not_found")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("midjourney")

    def test_a_client_that_leaves_cancels_its_task(self):
        with self.generate(stream=True, partial_images=1, extra_body={"steps": 1000}) as stream:
            self.server.until(lambda: "processing" in self.server.statuses())
            stream.close()
        self.server.until(lambda: self.server.statuses()[0] == "cancelled")
        with self.assertRaises(openai.APITimeoutError):
            self.generate(extra_body={"steps": 1000}, timeout=0.5)
        self.server.until(lambda: self.server.statuses()[0] == "cancelled")

    def test_a_task_that_somebody_cancels_is_a_conflict(self):
        raised = []

        def wait():
            try:
                self.generate(extra_body={"steps": 1000})
            except openai.APIStatusError as error:
                raised.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        self.server.until(lambda: "processing" in self.server.statuses())
        tasks = httpx2.get(f"{self.server.url}/tasks?status=processing").json()["tasks"]
        for task in tasks:
            httpx2.post(f"{self.server.url}/cancel-generation", json={"task_id": task}).raise_for_status()
        waiting.join()
        self.assertIsInstance(raised[0], openai.ConflictError)


class Keys(unittest.TestCase):
    def test_a_key_is_needed_where_there_are_keys(self):
        with tempfile.TemporaryDirectory() as folder:
            path, key = new_key(folder)
            server = Server("--api-key-file", str(path))
            self.addCleanup(server.close)
            with openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger:
                self.assertRaises(openai.AuthenticationError, stranger.models.list)
            with openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0) as known:
                self.assertEqual([model.id for model in known.models.list()], ["easel-emoji", "stub"])


if __name__ == "__main__":
    unittest.main()
