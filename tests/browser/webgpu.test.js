// Drawing with WebGPU, on a software adapter that has to be asked for by name.
import assert from "node:assert/strict";
import { test } from "node:test";
import { dist, draw, launch, open, pixels, says } from "./support/browser.js";
import { difference, fromFile } from "./support/pictures.js";
import { serve } from "./support/server.js";
import { ask, KEEP_DEVICES, openWith, PATIENCE, REFERENCE, told, until, worker } from "./support/webgpu.js";

test("WebGPU, asked for by name", async (t) => {
  const page = await openWith(t, "");
  const off = async () => difference(await pixels(page), await fromFile(page, REFERENCE));

  await t.test("the first visit draws what the command line draws, and says that the graphics card is prepared", async () => {
    await page.evaluate(() => {
      window.phases = [];
      const phase = document.querySelector("#phase");
      new MutationObserver(() => phases.push(phase.textContent)).observe(phase, { childList: true });
    });
    await ask(page);
    assert.match(await draw(page, undefined, PATIENCE), /^Drawn in/);
    const phases = await page.evaluate(() => window.phases);
    assert.ok(phases.some((phase) => phase.startsWith("Preparing the graphics card")), phases.join("; "));
    assert.ok(!phases.includes("Reading the prompt"), phases.join("; "));
    assert.equal(await page.textContent("#device-line"), "easel-emoji on WebGPU");
    assert.ok((await off()) <= 3, `largest difference ${await off()}`);
    assert.deepEqual(page.errors, []);
  });

  await t.test("cancelling stops within a step, and the page stays free meanwhile", async () => {
    await page.evaluate(() => {
      window.tasks = [];
      new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
    });
    await ask(page, { steps: 60 });
    await page.click("#generate");
    await until(page, "step 2 of 60");
    await page.click("#generate");
    await until(page, "^Cancelled$");
    assert.deepEqual((await page.evaluate(() => tasks)).filter((duration) => duration > 50), []);
  });

  await t.test("the processor draws the same when it is asked to", async () => {
    await ask(page, { place: "wasm" });
    assert.match(await draw(page), /^Drawn in/);
    assert.match(await page.textContent("#device-line"), /on WebAssembly/);
    assert.ok((await off()) <= 3, `largest difference ${await off()}`);
  });
});

test("a device that is lost", async (t) => {
  const page = await openWith(t, KEEP_DEVICES);
  const off = async () => difference(await pixels(page), await fromFile(page, REFERENCE));

  await t.test("a device that is lost is opened anew, and the picture goes on", async () => {
    await ask(page);
    await page.click("#generate");
    await until(page, "step 2 of 4");
    await worker(page).evaluate(() => devices.at(-1).destroy());
    await told(page, "the GPU was lost .* and was opened again; the run continues from the last step");
    await until(page, "^Drawn in");
    assert.equal(await worker(page).evaluate(() => devices.length), 2);
    assert.ok((await off()) <= 3, `largest difference ${await off()}`);
  });

  await t.test("a device that is lost again and again ends the picture", async () => {
    await worker(page).evaluate(() => {
      const request = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (...options) {
        const device = await request.apply(this, options);
        device.destroy();
        return device;
      };
      devices.at(-1).destroy();
    });
    await ask(page);
    await page.click("#generate");
    await told(page, "stopped answering again and again");
    await until(page, "^Stopped$");
  });
});

test("by itself the page leaves a software adapter alone, and says why", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await ask(page, { place: "" });
  await draw(page);
  assert.match(await page.textContent("#device-line"), /on WebAssembly/);
  await page.click("#open-device");
  await page.waitForFunction(() => /software and slower/.test(document.querySelector("#device-facts").textContent));
});

test("a device that cannot be opened: an error where it was asked for, else WebAssembly and the reason", async (t) => {
  // An adapter that looks real and gives no device.
  const page = await openWith(t, `
    Object.defineProperty(GPUAdapter.prototype, "info", { value: { description: "Brand New", vendor: "", architecture: "" } });
    GPUAdapter.prototype.requestDevice = async () => { throw new DOMException("the driver is not well", "OperationError"); };`);
  await ask(page);
  await page.click("#generate");
  await says(page, /driver is not well/);
  await until(page, "^Stopped$");
  await ask(page, { place: "" });
  assert.match(await draw(page), /^Drawn in/);
  assert.match(await page.textContent("#device-line"), /on WebAssembly/);
  await page.click("#open-device");
  await page.waitForFunction(() => /driver is not well/.test(document.querySelector("#device-facts").textContent));
});

test("where there is no WebGPU, asking for it says so", async (t) => {
  const page = await openWith(t, `Object.defineProperty(WorkerNavigator.prototype, "gpu", { value: undefined });`);
  await ask(page);
  await page.click("#generate");
  await told(page, "WebGPU: this browser has no WebGPU");
});
