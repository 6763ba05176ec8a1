// A page that draws with WebGPU: asked, watched, and with its devices in reach.
import { dist, launch, open } from "./browser.js";
import { serve } from "./server.js";

/** SwiftShader takes seconds for a step, and some more to compile the kernels. */
export const PATIENCE = 300_000;
export const STEPS = 4;
export const REFERENCE = new URL(`../reference/red-apple-7-${STEPS}.png`, import.meta.url);

/** Asks for this picture, drawn by what stands under `place` in the form. */
export async function ask(page, { prompt = "a red apple", seed = 7, place = "webgpu", steps = STEPS } = {}) {
  await page.selectOption("#place", place);
  await page.fill("#prompt", prompt);
  await page.fill("#seed", String(seed));
  await page.check("#keepSeed");
  await page.locator("#steps").fill(String(steps));
}

export const worker = (page) => page.workers().findLast((worker) => worker.url().endsWith("worker.js"));

/** While SwiftShader computes there may be no frames, so nothing is looked at by frame. */
export const waiting = { polling: 100, timeout: PATIENCE };

/** Waits until the page says this about its progress. */
export const until = (page, pattern) =>
  page.waitForFunction((pattern) => new RegExp(pattern).test(document.querySelector("#phase").textContent), pattern, waiting);

/** Waits until the page has told the visitor this. */
export const told = (page, pattern) => page.waitForFunction((pattern) => window.told.some((text) => new RegExp(pattern).test(text)), pattern, waiting);

/** A page whose worker has this script, too. */
export async function openWith(t, script) {
  const site = await serve(t, dist);
  const context = await launch(t, { serviceWorkers: "block" });
  await context.route("**/easel/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${await response.text()}\n${script}` });
  });
  const page = await open(context, site.url);
  await page.evaluate(() => {
    window.told = [];
    for (const place of ["#toast", "#note", "#problem-words", "#problem-detail"].map((id) => document.querySelector(id))) {
      new MutationObserver(() => told.push(place.textContent)).observe(place, { childList: true });
    }
  });
  return page;
}

/** Keeps the devices that the worker opens where the test finds them. */
export const KEEP_DEVICES = `
  const request = GPUAdapter.prototype.requestDevice;
  self.devices = [];
  GPUAdapter.prototype.requestDevice = async function (...options) {
    const device = await request.apply(this, options);
    devices.push(device);
    return device;
  };`;
