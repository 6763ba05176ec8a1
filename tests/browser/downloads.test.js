// Downloads on bad lines, from servers with habits of their own, to devices that are too small.
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PATIENCE, dist, draw, launch, open, rest, says } from "./support/browser.js";
import { serve } from "./support/server.js";
import { openWith, worker } from "./support/webgpu.js";

const UNET = "unet/diffusion_pytorch_model.safetensors";
const CHECKPOINT = "vae/diffusion_pytorch_model.safetensors";

/** A folder with the model's files. */
async function copy(t, name = "") {
  const root = await mkdtemp(join(tmpdir(), "easel-model-"));
  t.after(() => rm(root, { recursive: true }));
  await cp(join(dist, "models/easel-emoji"), join(root, name), { recursive: true });
  return join(root, name);
}

/** A page, and a server of models beside it. */
async function beside(t) {
  const [site, root] = [await serve(t, dist), await copy(t)];
  const manifest = JSON.parse(await readFile(join(root, "manifest.json"), "utf8"));
  await writeFile(join(root, "manifest.json"), JSON.stringify({ ...manifest, name: "borrowed" }));
  return { page: await open(await launch(t), site.url), other: await serve(t, root) };
}

/** What comes of loading this address: the model's name, or the error. */
const load = (page, address) =>
  page.evaluate(async (address) => {
    const { Easel } = await import("./easel/easel.js");
    return new Easel().load(address).then(({ name }) => name, ({ name, message }) => `${name}: ${message}`);
  }, address);

/** The ranges that were asked for of a file. */
const ranges = ({ requests }, file) => requests.filter(({ path, method }) => path === `/${file}` && method === "GET").map(({ range }) => range);

test("a server that knows no ranges is asked for everything anew", async (t) => {
  const { page, other } = await beside(t);
  Object.assign(other.faults, { cut: `/${UNET}`, after: 3_000_000, whole: true });
  assert.match(await load(page, `${other.url}manifest.json`), /^NetworkError: .* the connection broke .* goes on from here$/);
  assert.equal(await load(page, `${other.url}manifest.json`), "borrowed");
  assert.match(ranges(other, UNET)[1], /^bytes=\d+-$/);
});

test("the rest of a file is not put to the beginning of what may be another", async (t) => {
  const { page, other } = await beside(t);
  const address = `${other.url}${CHECKPOINT}`;
  const cut = () => Object.assign(other.faults, { cut: `/${CHECKPOINT}`, after: 1_000_000 });
  cut();
  assert.match(await load(page, address), /loading again begins anew$/);
  other.faults.modified = "Sat, 21 Nov 2026 10:00:00 GMT";
  cut();
  assert.match(await load(page, address), /loading again goes on from here$/);
  cut();
  await load(page, address);
  other.faults.modified = "Sun, 22 Nov 2026 10:00:00 GMT";
  await load(page, address);
  const [first, second, third, fourth] = ranges(other, CHECKPOINT);
  assert.deepEqual([first, second, fourth], [undefined, undefined, undefined]);
  assert.match(third, /^bytes=\d+-$/);
});

test("a digest in the address is kept to", async (t) => {
  const { page, other } = await beside(t);
  assert.match(await load(page, `${other.url}${CHECKPOINT}#sha256=${"0".repeat(64)}`), /^ChecksumError: .*, expected 0{64}$/);
});

test("what the storage or the device has no room for is refused before it is fetched", async (t) => {
  const page = await openWith(t, `Object.defineProperty(WorkerNavigator.prototype, "deviceMemory", { value: 2, configurable: true });`);
  const asked = [];
  await page.context().route("**/large/*", (route) => {
    asked.push(route.request().url());
    return route.fulfill({ json: { name: "large", files: [{ path: "x.safetensors", size: 3e9 }] } });
  });
  const plan = async (refusal) => {
    await page.fill("#model-url", `${page.url()}large/manifest.json`);
    await page.click("#model-url-form button");
    await page.waitForFunction(() => /^large/.test(document.querySelector("#model-plan").textContent));
    assert.match(await page.textContent("#model-plan"), refusal);
    assert.equal(await page.locator("#model-plan button").count(), 0);
  };
  await page.click("#open-models");
  await plan(/It cannot run here: needs about 3\.8 GB of memory, and this device has about 2 GB\.$/);
  await worker(page).evaluate(() => {
    Object.defineProperty(WorkerNavigator.prototype, "deviceMemory", { value: 8 });
    StorageManager.prototype.estimate = async () => ({ usage: 1e9, quota: 2e9 });
  });
  await plan(/It cannot run here: 3000 MB to store, but the browser grants this site only 1000 MB more\.$/);
  assert.ok(asked.length >= 2 && !asked.some((url) => url.endsWith(".safetensors")), asked.join());
});

test("another folder of the same name takes the place of the first, unless it is broken", async (t) => {
  const { page } = await beside(t);
  await draw(page, "a red apple");
  const broken = await copy(t, "easel-emoji");
  await truncate(join(broken, UNET), 100_000);
  await page.click("#open-models");
  await page.setInputFiles("#model-folder", broken);
  await says(page, /^easel-emoji\/unet\/.*safetensors: /);
  await rest(page);
  assert.match(await draw(page), /^Drawn/);
});

test("a copy for which there is no room leaves nothing behind", async (t) => {
  const { page } = await beside(t);
  const folder = await copy(t, "large");
  await page.evaluate(() => navigator.serviceWorker.ready);
  const session = await page.context().newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(page.url()).origin, quotaSize: 5_000_000 });
  await page.click("#open-models");
  await page.setInputFiles("#model-folder", folder);
  await says(page, /^large is used from the disk: .*full/);
  assert.match(await draw(page, "a red apple", PATIENCE), /^Drawn/);
  await page.click("#open-models");
  await page.waitForFunction(() => /^easel-emoji/.test(document.querySelector("#model-list").textContent));
  assert.equal(await page.locator("#model-list li").count(), 1);
});
