// Models of flows: Stable Diffusion 3 and FLUX.1, from folders, from parts at hand and from parts at addresses.
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dist, draw, launch, open, pixels, says } from "./support/browser.js";
import { difference, fromFile } from "./support/pictures.js";
import { parts } from "./support/sd3.js";
import { serve } from "./support/server.js";

const GOLDEN = new URL("../golden/", import.meta.url);
/** An autoencoder for the same latents. */
const AUTOENCODER = new URL("taef1/diffusion_pytorch_model.safetensors", GOLDEN);

/** What the pictures of a test have in common. */
const SIZE = 64;
const STEPS = 2;

/** Asks for a small picture of this model. */
async function small(page, name) {
  await page.selectOption("#model", name);
  await page.waitForFunction((name) => document.querySelector("#device-line").textContent.startsWith(`${name} on`), name);
  for (const side of ["width", "height"]) await page.fill(`#${side}`, String(SIZE));
  await page.locator("#steps").fill(String(STEPS));
  await page.fill("#seed", "7");
  await page.check("#keepSeed");
}

/** The files of the model as they are named where it is published. */
async function files() {
  const { denoiser, clip_l, clip_g, t5 } = parts();
  const autoencoder = await readFile(AUTOENCODER);
  return { "sd3-Q8_0.gguf": denoiser, "clip_l-Q8_0.gguf": clip_l, "clip_g-Q8_0.gguf": clip_g, "t5xxl-Q8_0.gguf": t5, "ae.safetensors": autoencoder };
}

/** A server that has them. */
async function published(t) {
  const root = await mkdtemp(join(tmpdir(), "easel-parts-"));
  t.after(() => rm(root, { recursive: true }));
  for (const [name, content] of Object.entries(await files())) await writeFile(join(root, name), content);
  return serve(t, root);
}

/** What `run` gives of a package in the page. */
const call = (page, run, argument) =>
  page.evaluate(`(async (argument) => {
    const { Easel } = await import("./easel/easel.js");
    return (${run})(new Easel({ backend: "wasm" }), argument);
  })(${JSON.stringify(argument)})`);

for (const name of ["sd3", "flux-schnell"]) {
  test(`a folder of ${name} draws what the command line draws`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "easel-flow-"));
    t.after(() => rm(folder, { recursive: true }));
    await cp(new URL(`${name}/`, GOLDEN), join(folder, name), { recursive: true });
    const site = await serve(t, dist);
    const page = await open(await launch(t), site.url);
    await page.selectOption("#place", "wasm");
    await page.click("#open-models");
    await page.setInputFiles("#model-folder", join(folder, name));
    await says(page, new RegExp(`^${name} is kept in this browser$`));
    await small(page, name);
    assert.match(await draw(page, "a red apple"), /^Drawn/);
    const expected = await fromFile(page, new URL(`reference/${name}.png`, import.meta.url));
    assert.ok(difference(await pixels(page), expected) <= 3);
    assert.ok(!site.requests.some(({ path }) => path.includes("t5-tokenizer")), "the folder has a vocabulary");
  });
}

test("files of a model's parts are a model, chosen or dropped together", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await page.selectOption("#place", "wasm");
  const { "t5xxl-Q8_0.gguf": _, ...without } = await files();
  const chosen = Object.entries(without).map(([name, buffer]) => ({ name, mimeType: "", buffer }));
  await page.click("#open-models");
  await page.setInputFiles("#model-file", chosen);
  await says(page, /^sd3-Q8_0 is kept in this browser$/);
  await small(page, "sd3-Q8_0");
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  const first = await pixels(page);
  assert.ok(new Set(first.data).size > 8, "a picture of one colour");
  await page.reload();
  await small(page, "sd3-Q8_0");
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  assert.deepEqual(await pixels(page), first, "the copy in the browser draws something else");
});

test("parts at addresses are fetched, drawn with and kept; T5's vocabulary comes with the page", async (t) => {
  const [site, there] = [await serve(t, dist), await published(t)];
  const page = await open(await launch(t), site.url);
  const drawn = await call(page, `async (easel, there) => {
    const components = {
      transformer: there + "sd3-Q8_0.gguf",
      text_encoder: there + "clip_l-Q8_0.gguf",
      text_encoder_2: there + "clip_g-Q8_0.gguf",
      text_encoder_3: there + "t5xxl-Q8_0.gguf",
      vae: there + "ae.safetensors",
    };
    const request = { prompt: "a red apple", width: 64, height: 64, steps: 1, seed: 7 };
    const data = async ({ image }) => [...new Uint8Array(await image.arrayBuffer())].join();
    const plan = await easel.plan({ name: "mine", components });
    const { name } = await easel.load({ name: "mine", components });
    const first = await data(await easel.generate(request));
    await easel.load("mine");
    const again = await data(await easel.generate(request));
    const { text_encoder_3, ...rest } = components;
    await easel.load({ name: "without", components: rest });
    const without = await data(await easel.generate(request));
    const stored = (await easel.models()).map(({ name, complete }) => [name, complete]);
    return { size: plan.size, name, same: first === again, differs: first !== without, stored };
  }`, there.url);
  assert.ok(drawn.size > 15e6, String(drawn.size));
  assert.deepEqual({ ...drawn, size: 0 }, { size: 0, name: "mine", same: true, differs: true, stored: [["mine", true], ["without", true]] });
  assert.ok(site.requests.some(({ path }) => path.endsWith("/easel/t5-tokenizer.json.zlib")));
});

test("parts are written in the form of addresses", async (t) => {
  const [site, there] = [await serve(t, dist), await published(t)];
  const page = await open(await launch(t), site.url);
  await page.selectOption("#place", "wasm");
  await page.click("#open-models");
  const words = ["sd3-Q8_0.gguf", "vae=ae.safetensors", "text_encoder=clip_l-Q8_0.gguf", "text_encoder_2=clip_g-Q8_0.gguf"];
  await page.fill("#model-url", words.map((word) => word.replace(/([^=]+)$/, `${there.url}$1`)).join(" "));
  await page.click("#model-url-form button");
  await page.waitForSelector("#model-plan button");
  assert.match(await page.textContent("#model-plan"), /^sd3-Q8_0\d+ MB to fetch/);
  await page.click("#model-plan button");
  await small(page, "sd3-Q8_0");
  assert.match(await draw(page, "a red apple"), /^Drawn/);
});

test("what is missing among parts, or is not one, is named", async (t) => {
  const [site, there] = [await serve(t, dist), await published(t)];
  const page = await open(await launch(t), site.url);
  const message = (components) =>
    call(page, `(easel, components) => easel.load({ name: "mine", components }).catch((error) => error.name + ": " + error.message)`, components);
  const at = (name) => there.url + name;
  assert.match(await message({ vae: at("ae.safetensors") }), /^InvalidRequest: components: neither transformer nor unet/);
  assert.match(await message({ transformer: at("sd3-Q8_0.gguf"), clip: at("clip_l-Q8_0.gguf") }), /^InvalidRequest: components: no part is called "clip"; there are /);
  assert.match(
    await message({ transformer: at("sd3-Q8_0.gguf") }),
    /^ModelError: .*this model has no vae \(nor text_encoder, text_encoder_2, text_encoder_3\); add it to the files of the model, or give it as components.vae$/,
  );
  const swapped = { transformer: at("sd3-Q8_0.gguf"), vae: at("clip_l-Q8_0.gguf"), text_encoder: at("clip_l-Q8_0.gguf"), text_encoder_2: at("clip_g-Q8_0.gguf") };
  assert.match(await message(swapped), /^ModelError: .*clip_l-Q8_0.gguf: contains no vae of Stable Diffusion 3$/);
  assert.match(await message({ ...swapped, vae: at("gone.safetensors") }), /^NetworkError: .*gone.safetensors: 404 Not Found$/);
});
