"""The package `mcp`: tools, calls with progress, cancellation and resources, over pipes and over HTTP, in both of the protocol's
ways to connect."""

import asyncio
import base64
import io
import tempfile
import unittest

import anyio
import httpx2
import jsonschema
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from easel import EASEL, SIZE, Server, new_key

QUICK = {"prompt": "a red apple", "width": SIZE, "height": SIZE, "steps": 4, "seed": 7}

# The handshake of the revisions before 2026-07-28, and what the package chooses by itself.
MODES = ("legacy", "auto")


def picture(data):
    return Image.open(io.BytesIO(base64.b64decode(data)))


async def draws(test, client):
    """Lists the tools, draws with progress, reads the picture, and edits it."""
    tools = await client.list_tools()
    test.assertEqual([tool.name for tool in tools.tools], ["generate_image", "edit_image", "list_models"])
    # Strict clients refuse arguments that do not fit the description.
    generate, edit, _ = (tool.input_schema for tool in tools.tools)
    jsonschema.validate(QUICK, generate)
    jsonschema.validate(QUICK | {"image": "easel://images/1/0af1", "mask": None, "strength": 0.5}, edit)
    with test.assertRaises(jsonschema.ValidationError):
        jsonschema.validate({"prompt": 7}, generate)
    models = await client.call_tool("list_models", {})
    test.assertEqual(models.structured_content["models"][0]["name"], "easel-emoji")

    steps = []

    async def progress(done, total, message):
        steps.append((done, total))

    drawn = await client.call_tool("generate_image", QUICK, progress_callback=progress)
    test.assertFalse(drawn.is_error, drawn.content)
    test.assertEqual([block.type for block in drawn.content], ["text", "image", "resource_link"])
    test.assertTrue(steps and steps == sorted(set(steps)) and all(total == 4 for _, total in steps), steps)
    _, preview, link = drawn.content
    test.assertEqual(picture(preview.data).size, (SIZE, SIZE))
    read = await client.read_resource(link.uri)
    test.assertIn("Seed: 7", picture(read.contents[0].blob).text["parameters"])

    edited = await client.call_tool("edit_image", QUICK | {"image": str(link.uri), "strength": 0.5})
    test.assertFalse(edited.is_error, edited.content)
    refused = await client.call_tool("generate_image", {"prompt": "a", "width": 100})
    test.assertTrue(refused.is_error and refused.content[0].text.startswith("width: "), refused.content)
    return str(link.uri)


async def cancels(client):
    """Cancels a call after its first step."""
    with anyio.CancelScope() as scope:

        async def stop(done, total, message):
            scope.cancel()

        await client.call_tool("generate_image", QUICK | {"steps": 1000}, progress_callback=stop)
    return scope.cancelled_caught


class Pipes(unittest.TestCase):
    def test_easel_mcp(self):
        for mode in MODES:
            with self.subTest(mode):
                asyncio.run(self.check(mode))

    async def check(self, mode):
        server = StdioServerParameters(command=EASEL, args=["mcp", "--device", "cpu"])
        async with Client(server, mode=mode) as client:
            self.assertEqual(client.server_info.name, "easel")
            uri = await draws(self, client)
            self.assertTrue(uri.startswith("easel://images/"), uri)
            self.assertTrue(await cancels(client))
            async with asyncio.timeout(60):
                # The engine was let go.
                await client.call_tool("generate_image", QUICK)


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def test_streamable_http(self):
        for mode in MODES:
            with self.subTest(mode):
                asyncio.run(self.check(mode))

    async def check(self, mode):
        async with Client(f"{self.server.url}/mcp", mode=mode) as client:
            uri = await draws(self, client)
            self.assertTrue(uri.startswith(f"{self.server.url}/images/"), uri)
            async with httpx2.AsyncClient() as http:
                fetched = await http.get(uri)
            self.assertEqual(Image.open(io.BytesIO(fetched.content)).size, (SIZE, SIZE))
            self.assertTrue(await cancels(client))
            await asyncio.to_thread(self.server.until, lambda: self.server.statuses()[0] == "cancelled")
            self.assertEqual(self.server.statuses()[1:3], ["completed", "completed"], "no other task")

    def test_a_key_is_needed_where_there_are_keys(self):
        with tempfile.TemporaryDirectory() as folder:
            path, key = new_key(folder)
            server = Server("--api-key-file", str(path))
            self.addCleanup(server.close)
            asyncio.run(self.with_key(server.url, key))

    async def with_key(self, url, key):
        self.assertEqual(httpx2.post(f"{url}/mcp", json={}).status_code, 401)
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60) as http:
            async with Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client:
                self.assertEqual(len((await client.list_tools()).tools), 3)


if __name__ == "__main__":
    unittest.main()
