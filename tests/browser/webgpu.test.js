// Drawing with WebGPU, on a software adapter that has to be asked for by name.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE, dist, draw, launch, open, pixels } from "./support/browser.js";
import { difference, fromFile } from "./support/pictures.js";
import { serve } from "./support/server.js";

/** Asks for this picture, drawn by what stands under `place` in the form. */
async function ask(page, { prompt = "a red apple", seed = 7, place = "webgpu", steps }) {
  await page.selectOption("#place", place);
  await page.fill("#prompt", prompt);
  await page.fill("#seed", String(seed));
  await page.check("#keepSeed");
  if (steps) await page.locator("#steps").fill(String(steps));
}

const worker = (page) => page.workers().findLast((worker) => worker.url().endsWith("worker.js"));

/** Waits until the page says this about its progress. */
const until = (page, pattern, timeout = PATIENCE) =>
  page.waitForFunction((pattern) => new RegExp(pattern).test(document.querySelector("#phase").textContent), pattern, { timeout });

test("the first visit draws with WebGPU what the command line draws", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await ask(page, {});
  assert.match(await draw(page), /^Drawn in/);
  assert.equal(await page.textContent("#device-line"), "easel-emoji on WebGPU");
  const reference = await fromFile(page, new URL("reference/red-apple-7.png", import.meta.url));
  const off = difference(await pixels(page), reference);
  assert.ok(off <= 3, `largest difference ${off}`);
  assert.deepEqual(page.errors, []);
});

test("by itself the page leaves a software adapter alone, and says why", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await ask(page, { place: "" , steps: 2 });
  await draw(page);
  assert.match(await page.textContent("#device-line"), /on WebAssembly/);
  await page.click("#open-device");
  await page.waitForFunction(() => /processor in disguise/.test(document.querySelector("#device-facts").textContent));
});

test("cancelling stops within a step, and the next picture is whole", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await ask(page, { steps: 60 });
  await page.click("#generate");
  await until(page, "step [3-9] of 60");
  await page.click("#cancel");
  await until(page, "^Cancelled$", 10_000);
  await ask(page, { steps: 20 });
  await draw(page);
  const off = difference(await pixels(page), await fromFile(page, new URL("reference/red-apple-7.png", import.meta.url)));
  assert.ok(off <= 3, `largest difference ${off}`);
});

/** Keeps the devices that the worker opens where the test finds them. */
const KEEP_DEVICES = `
  const request = GPUAdapter.prototype.requestDevice;
  self.devices = [];
  GPUAdapter.prototype.requestDevice = async function (...options) {
    const device = await request.apply(this, options);
    devices.push(device);
    return device;
  };`;

/** A page whose worker begins with this script. */
async function openWith(t, script) {
  const site = await serve(t, dist);
  const context = await launch(t, { serviceWorkers: "block" });
  await context.route("**/easel/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${await response.text()}\n${script}` });
  });
  return open(context, site.url);
}

test("a device that is lost is started again, and the picture with it", async (t) => {
  const page = await openWith(t, KEEP_DEVICES);
  await ask(page, {});
  await page.click("#generate");
  await until(page, "step [3-9] of 20");
  await worker(page).evaluate(() => devices.at(-1).destroy());
  await page.waitForFunction(() => /The graphics device was lost. It was started again/.test(document.querySelector("#toast").textContent));
  await until(page, "^Drawn in");
  assert.equal(await worker(page).evaluate(() => devices.length), 2);
  const off = difference(await pixels(page), await fromFile(page, new URL("reference/red-apple-7.png", import.meta.url)));
  assert.ok(off <= 3, `largest difference ${off}`);
});

test("a device that is lost between two pictures is started again for the next one", async (t) => {
  const page = await openWith(t, KEEP_DEVICES);
  await ask(page, { steps: 2 });
  await draw(page);
  await worker(page).evaluate(() => devices.at(-1).destroy());
  await ask(page, { seed: 8 });
  assert.match(await draw(page), /^Drawn in/);
  assert.equal(await page.textContent("#device-line"), "easel-emoji on WebGPU");
});

test("a device that is lost again and again ends the picture, and the page is ready for the next", async (t) => {
  const page = await openWith(t, KEEP_DEVICES);
  await ask(page, { steps: 60 });
  await page.click("#generate");
  for (const devices of [1, 2]) {
    await page.waitForFunction(() => !/step/.test(document.querySelector("#phase").textContent));
    await until(page, "step [3-9] of 60");
    assert.equal(await worker(page).evaluate(() => devices.length), devices);
    await worker(page).evaluate(() => devices.at(-1).destroy());
  }
  await page.waitForFunction(() => /lost again/.test(document.querySelector("#toast").textContent));
  await until(page, "^Stopped$");
  await ask(page, { steps: 2 });
  assert.match(await draw(page), /^Drawn in/);
});

test("a device that cannot be opened: an error where it was asked for, else WebAssembly and the reason", async (t) => {
  // An adapter that looks real and gives no device.
  const page = await openWith(t, `
    Object.defineProperty(GPUAdapter.prototype, "info", { value: { description: "Brand New", vendor: "", architecture: "" } });
    GPUAdapter.prototype.requestDevice = async () => { throw new DOMException("the driver is not well", "OperationError"); };`);
  await ask(page, { steps: 2 });
  await page.click("#generate");
  await page.waitForFunction(() => /driver is not well/.test(document.querySelector("#toast").textContent));
  await until(page, "^Stopped$");
  await ask(page, { place: "", steps: 2 });
  assert.match(await draw(page), /^Drawn in/);
  assert.match(await page.textContent("#device-line"), /on WebAssembly/);
  await page.click("#open-device");
  await page.waitForFunction(() => /driver is not well/.test(document.querySelector("#device-facts").textContent));
});

test("where there is no WebGPU, asking for it says so", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t, { args: ["--disable-features=WebGPU", "--disable-blink-features=WebGPU"] }), site.url);
  const said = await page.evaluate(async () => {
    const { Easel, detect } = await import("./easel/easel.js");
    const message = await new Easel({ backend: "webgpu" }).load("easel-emoji").catch(({ name, message }) => `${name}: ${message}`);
    return { message, found: (await detect()).webgpu };
  });
  assert.equal(said.found.available, false);
  assert.equal(said.message, `DeviceError: WebGPU: ${said.found.reason}`);
});

test("the page stays free while WebGPU draws", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await ask(page, { steps: 2 });
  await draw(page);
  await page.evaluate(() => {
    window.tasks = [];
    new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
  });
  await ask(page, { seed: 8, steps: 20 });
  await draw(page);
  assert.deepEqual((await page.evaluate(() => tasks)).filter((duration) => duration > 50), []);
});
