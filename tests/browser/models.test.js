// Models: from a folder, from an address, broken off, damaged, refused, deleted; two tabs at once.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { PATIENCE, dist, draw, dropBytes, launch, open, says } from "./support/browser.js";
import { serve } from "./support/server.js";

const EMOJI = new URL("../../models/easel-emoji/", import.meta.url).pathname;

/** Waits until the page says this about its progress. */
const until = (page, text) =>
  page.waitForFunction((text) => document.querySelector("#phase").textContent === text, text, { timeout: PATIENCE });

/** Calls the package in the page. */
const call = (page, run, argument) =>
  page.evaluate(`(async (argument) => {
    const { Easel } = await import("./easel/easel.js");
    return (${run})(new Easel(), argument);
  })(${JSON.stringify(argument)})`);

/** A copy of the model's manifest at another place, under another name. */
async function elsewhere(t, change = (manifest) => manifest) {
  const root = await mkdtemp(join(tmpdir(), "easel-model-"));
  t.after(() => rm(root, { recursive: true }));
  await cp(join(dist, "models/easel-emoji"), root, { recursive: true });
  const manifest = JSON.parse(await readFile(join(root, "manifest.json"), "utf8"));
  await writeFile(join(root, "manifest.json"), JSON.stringify(change({ ...manifest, name: "borrowed" })));
  return serve(t, root);
}

test("a folder from the disk is drawn with, kept, and deleted", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await page.click("#open-models");
  await page.setInputFiles("#model-folder", EMOJI);
  await until(page, "easel-emoji is ready");
  await says(page, /^easel-emoji is kept in this browser$/);
  await page.reload();
  await page.waitForFunction(() => /^easel-emoji on/.test(document.querySelector("#device-line").textContent));
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  assert.ok(!site.requests.some(({ path }) => path.endsWith(".safetensors")), "the disk's copy was not used");
  await page.click("#open-models");
  assert.match(await page.textContent("#model-list"), /Files14 MB, kept/);
  await page.click("#model-list button:has-text('Delete')");
  await page.click("#model-list button:has-text('for good')");
  await page.waitForFunction(() => /14 MB to fetch/.test(document.querySelector("#model-list").textContent));
});

test("a single checkpoint of any format is drawn with and kept", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  const file = async (name) => gunzipSync(await readFile(new URL(`reference/${name}.gz`, import.meta.url)));
  await page.click("#open-models");
  await page.setInputFiles("#model-file", { name: "one.safetensors", mimeType: "", buffer: await file("checkpoint.safetensors") });
  await says(page, /^one is kept in this browser$/);
  await dropBytes(page, "two.ckpt", await file("checkpoint.ckpt"));
  await says(page, /^two is kept in this browser$/);
  await dropBytes(page, "three.gguf", await file("checkpoint.gguf"));
  await says(page, /^three is kept in this browser$/);
  await page.reload();
  await page.waitForFunction(() => /^three on/.test(document.querySelector("#device-line").textContent));
  for (const name of ["three", "two", "one"]) {
    await page.selectOption("#model", name);
    await page.waitForFunction((name) => document.querySelector("#device-line").textContent.startsWith(`${name} on`), name);
    assert.equal(await page.inputValue("#width"), "512");
    for (const side of ["width", "height"]) await page.fill(`#${side}`, "64");
    await page.locator("#steps").fill("2");
    assert.match(await draw(page, "a red apple"), /^Drawn/);
  }
});

test("a GGUF file is fetched from an address and drawn with", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "easel-model-"));
  t.after(() => rm(root, { recursive: true }));
  const packed = await readFile(new URL("reference/checkpoint.gguf.gz", import.meta.url));
  await writeFile(join(root, "tiny.gguf"), gunzipSync(packed));
  const [site, other] = [await serve(t, dist), await serve(t, root)];
  const page = await open(await launch(t), site.url);
  const drawn = await call(page, `async (easel, address) => {
    const { name } = await easel.load(address);
    const { image } = await easel.generate({ prompt: "a red apple", width: 64, height: 64, steps: 1 });
    return [name, image.type];
  }`, `${other.url}tiny.gguf`);
  assert.deepEqual(drawn, ["tiny", "image/png"]);
});

test("an address: looked up, broken off, gone on with after a reload, drawn with", async (t) => {
  const site = await serve(t, dist);
  const other = await elsewhere(t);
  const page = await open(await launch(t), site.url);
  const unet = "/unet/diffusion_pytorch_model.safetensors";
  Object.assign(other.faults, { cut: unet, after: 3_000_000 });
  await page.click("#open-models");
  await page.fill("#model-url", `${other.url}manifest.json`);
  await page.click("#model-url-form button");
  await page.waitForSelector("#model-plan button");
  assert.match(await page.textContent("#model-plan"), /borrowed14 MB to fetch, about \d+ MB of memory/);
  await page.click("#model-plan button");
  await says(page, /the connection broke .* loading again goes on from here/);
  await page.reload();
  await page.click("#open-models");
  await page.waitForFunction(() => /borrowedFiles\d+ MB of 14 MB/.test(document.querySelector("#model-list").textContent));
  await page.click("#model-list button:has-text('Go on')");
  await until(page, "borrowed is ready");
  const ranges = other.requests.filter(({ path, method }) => path === unet && method === "GET").map(({ range }) => range);
  assert.equal(ranges.length, 2);
  assert.equal(ranges[0], undefined);
  assert.ok(Number(ranges[1].match(/^bytes=(\d+)-$/)[1]) >= 1_000_000, ranges[1]);
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  await page.reload();
  await page.waitForFunction(() => /^borrowed on/.test(document.querySelector("#device-line").textContent));
});

test("a damaged copy is noticed and fetched again", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await call(page, `(easel) => easel.load("easel-emoji").then(() => easel.unload())`);
  await page.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("easel-models");
    const folder = await root.getDirectoryHandle("easel-emoji");
    for await (const [name, handle] of folder.entries()) {
      const file = handle.kind === "file" && (await handle.getFile());
      if (!file || file.size < 5_000_000) continue;
      const bytes = new Uint8Array(await file.arrayBuffer());
      bytes[1234567] ^= 1;
      const writable = await handle.createWritable();
      await writable.write(bytes);
      await writable.close();
    }
  });
  site.requests.length = 0;
  await page.reload();
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  const fetched = site.requests.filter(({ path, method }) => method === "GET" && path.endsWith(".safetensors")).map(({ path }) => path);
  assert.deepEqual(fetched, ["/models/easel-emoji/unet/diffusion_pytorch_model.safetensors"]);
});

test("what is not what was announced is refused, and so is what cannot run here", async (t) => {
  const site = await serve(t, dist);
  const wrong = await elsewhere(t, (manifest) => {
    manifest.files.find(({ path }) => path === "vae/config.json").sha256 = "0".repeat(64);
    return manifest;
  });
  const large = await elsewhere(t, (manifest) => ({ ...manifest, files: [{ path: "x.safetensors", size: 7e9 }] }));
  const page = await open(await launch(t), site.url);
  const message = (address) => call(page, `(easel, address) => easel.load(address).catch((error) => error.name + ": " + error.message)`, address);
  const got = createHash("sha256").update(await readFile(join(EMOJI, "vae/config.json"))).digest("hex");
  assert.equal(await message(`${wrong.url}manifest.json`), `ChecksumError: ${wrong.url}vae/config.json: SHA-256 is ${got}, expected ${"0".repeat(64)}`);
  assert.match(await message(`${large.url}manifest.json`), /^Unsupported: borrowed: needs about [\d.]+ GB of memory, and WebAssembly has 4.3 GB at most$/);
  assert.match(await message(`${wrong.url}gone.safetensors`), /^NetworkError: .*gone.safetensors: 404 Not Found$/);
  assert.match(await message("no-such-model"), /404 Not Found$/);
  assert.match(await message(`${wrong.url}readme`), /^InvalidRequest: model: .* is no known name/);
});

test("a folder that holds no model is refused", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await page.click("#open-models");
  await page.setInputFiles("#model-folder", new URL("reference", import.meta.url).pathname);
  await says(page, /reference: neither a diffusers folder nor one checkpoint/);
});

/** A hub with one repository: the model, and files that nothing needs. */
async function hub(t, family = "StableDiffusionPipeline") {
  const root = await mkdtemp(join(tmpdir(), "easel-hub-"));
  t.after(() => rm(root, { recursive: true }));
  const files = join(root, "someone/emoji/resolve/main");
  await cp(join(dist, "models/easel-emoji"), files, { recursive: true });
  const index = join(files, "model_index.json");
  await writeFile(index, (await readFile(index, "utf8")).replace("StableDiffusionPipeline", family));
  const { files: listed } = JSON.parse(await readFile(join(files, "manifest.json"), "utf8"));
  const tree = listed.map(({ path, size, sha256 }) => ({
    ...{ type: "file", path, size },
    lfs: path.endsWith(".safetensors") ? { oid: sha256, size } : undefined,
  }));
  tree.find(({ path }) => path === "model_index.json").size += family.length - "StableDiffusionPipeline".length;
  tree.push({ type: "directory", path: "unet", size: 0 });
  for (const path of ["README.md", "unet/diffusion_pytorch_model.bin", "safety_checker/model.safetensors"]) {
    tree.push({ type: "file", path, size: 1e9 });
  }
  await mkdir(join(root, "api/models/someone/emoji/tree"), { recursive: true });
  await writeFile(join(root, "api/models/someone/emoji/tree/main"), JSON.stringify(tree));
  return serve(t, root);
}

test("a hub repository gives what its model needs and no more", async (t) => {
  const [site, there] = [await serve(t, dist), await hub(t)];
  const page = await open(await launch(t), site.url);
  const { plan, loaded, stored } = await call(
    page,
    `async (_, hub) => {
      const easel = new Easel({ hub });
      const plan = await easel.plan("someone/emoji");
      const { name } = await easel.load("someone/emoji");
      return { plan, loaded: name, stored: await easel.models() };
    }`,
    there.url.slice(0, -1),
  );
  assert.ok(plan.size > 13e6 && plan.size < 14e6 && !plan.complete && !plan.refusal, JSON.stringify(plan));
  assert.equal(loaded, "someone/emoji");
  assert.deepEqual(stored.map(({ name, complete }) => [name, complete]), [["someone/emoji", true]]);
  assert.ok(!there.requests.some(({ path }) => /bin$|README|safety/.test(path)));
});

test("a repository of a family that cannot be run is refused before anything is fetched", async (t) => {
  const [site, there] = [await serve(t, dist), await hub(t, "Flux2Pipeline")];
  const page = await open(await launch(t), site.url);
  const message = await call(page, `(_, hub) => new Easel({ hub }).load("someone/emoji").catch((error) => error.message)`, there.url.slice(0, -1));
  assert.equal(message, "someone/emoji: a Flux2Pipeline cannot be run here");
  assert.ok(!there.requests.some(({ path }) => path.endsWith(".safetensors")));
});

test("two tabs fetch a model once", async (t) => {
  const site = await serve(t, dist);
  const context = await launch(t);
  const [first, second] = [await open(context, site.url), await open(context, site.url)];
  const load = `(easel) => easel.load("easel-emoji").then(({ name }) => name)`;
  assert.deepEqual(await Promise.all([call(first, load), call(second, load)]), ["easel-emoji", "easel-emoji"]);
  const fetched = site.requests.filter(({ path }) => path.endsWith("unet/diffusion_pytorch_model.safetensors"));
  assert.equal(fetched.length, 1);
});

test("a full storage is said, and what to do about it", async (t) => {
  const site = await serve(t, dist);
  const context = await launch(t);
  const page = await open(context, site.url);
  const session = await context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(site.url).origin, quotaSize: 5_000_000 });
  await page.fill("#prompt", "a red apple");
  await page.click("#generate");
  await says(page, /storage for this site is full: delete a model|the browser grants this site only/);
});
