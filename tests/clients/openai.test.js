// The npm package `openai`: generate, stream, and an error. The Python package's tests have the rest.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import OpenAI from "openai";

let server, folder, client;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "easel-"));
  const options = ["serve", "--native", "--listen", "127.0.0.1:0", "--device", "cpu", "--data", folder];
  server = spawn(process.env.EASEL ?? "easel", options, { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface({ input: server.stderr })) {
    const address = line.match(/^easel: listening on (http:.*)/)?.[1];
    if (address) {
      client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 0 });
      break;
    }
  }
  server.stderr.resume();
});

after(async () => {
  server.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

const asked = { model: "easel-emoji", prompt: "a red apple", size: "64x64", steps: 3, seed: 7 };

test("a picture, by its address and in base64", async () => {
  const { data } = await client.images.generate(asked);
  const fetched = await fetch(data[0].url);
  const inside = await client.images.generate({ ...asked, response_format: "b64_json" });
  assert.deepEqual(Buffer.from(await fetched.arrayBuffer()), Buffer.from(inside.data[0].b64_json, "base64"));
});

test("a stream", async () => {
  const kinds = [];
  for await (const event of await client.images.generate({ ...asked, stream: true, partial_images: 1 })) kinds.push(event.type);
  assert.deepEqual(kinds, ["image_generation.partial_image", "image_generation.completed"]);
});

test("an error has its class", async () => {
  await assert.rejects(client.images.generate({ ...asked, size: "100x100" }), OpenAI.BadRequestError);
  await assert.rejects(client.models.retrieve("midjourney"), OpenAI.NotFoundError);
});
