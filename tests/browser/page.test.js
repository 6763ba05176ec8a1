// The page itself: who can use it, where it works, how it looks.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { test } from "node:test";
import { violations } from "./support/axe.js";
import { dist, draw, launch, open, PHONE, rest, says } from "./support/browser.js";
import { serve } from "./support/server.js";
import { ZOOMED } from "./support/states.js";

const SCREENSHOTS = process.env.EASEL_SCREENSHOTS;

/** Keeps a picture of the page where `EASEL_SCREENSHOTS` says. */
async function shoot(page, name) {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
}

/** The windows that are looked at, and more of them where pictures of them are wanted. */
const WINDOWS = {
  desktop: {},
  dark: { colorScheme: "dark" },
  phone: PHONE,
  ...(SCREENSHOTS ? { laptop: { viewport: { width: 1366, height: 680 } }, zoomed: ZOOMED, forced: { forcedColors: "active" } } : {}),
};

for (const [name, options] of Object.entries(WINDOWS)) {
  test(`axe finds nothing in any state: ${name}`, async (t) => {
    const site = await serve(t, dist);
    const page = await open(await launch(t, options), site.url);
    await shoot(page, `${name}-first`);
    assert.deepEqual(await violations(page), []);
    await page.$eval("#settings", (details) => (details.open = true));
    for (const prompt of ["a red apple", "a rocket on a blue background"]) await draw(page, prompt);
    await page.evaluate(() => scrollTo(0, 0));
    await page.locator("#stage").scrollIntoViewIfNeeded();
    await shoot(page, `${name}-drawn`);
    assert.deepEqual(await violations(page), []);
    await page.click("#actions [data-action=start]");
    await page.locator("#start-canvas").focus();
    for (const key of ["ArrowLeft", " ", "ArrowDown", " "]) await page.keyboard.press(key);
    await shoot(page, `${name}-brush`);
    assert.deepEqual(await violations(page), []);
    await page.locator("#grid button").first().click();
    await shoot(page, `${name}-viewer`);
    assert.deepEqual(await violations(page), []);
    await page.click("#viewer [data-action=close]");
    for (const dialog of ["models", "device"]) {
      await page.click(`#open-${dialog}`);
      await page.waitForFunction((id) => document.getElementById(id).open, dialog);
      await page.waitForTimeout(300);
      await shoot(page, `${name}-${dialog}`);
      assert.deepEqual(await violations(page), []);
      await page.keyboard.press("Escape");
    }
    assert.deepEqual(page.errors, []);
  });
}

test("nothing jumps while the page loads and draws", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await page.evaluate(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const shift of list.getEntries()) if (!shift.hadRecentInput) shifts.push(shift.value);
    }).observe({ type: "layout-shift", buffered: true });
  });
  await page.fill("#prompt", "a red apple");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /^Drawn/.test(document.querySelector("#phase").textContent), undefined, { timeout: 90_000 });
  const shifts = await page.evaluate(() => window.shifts);
  assert.ok(shifts.reduce((sum, value) => sum + value, 0) < 0.01, `layout shifts ${shifts}`);
});

test("after the first visit no network is needed", async (t) => {
  const site = await serve(t, dist);
  const context = await launch(t);
  const page = await open(context, site.url);
  await draw(page, "a red apple");
  const module = "easel/threads/easel_web_bg.wasm";
  await page.waitForFunction(async (path) => Boolean(await caches.match(path)), module);
  assert.equal(await page.evaluate(async () => Boolean(await caches.match("easel/wasm/easel_web_bg.wasm"))), false);
  await context.setOffline(true);
  await page.reload();
  await page.waitForFunction(() => /^easel-emoji on/.test(document.querySelector("#device-line").textContent));
  assert.match(await draw(page, "a green cactus"), /^Drawn/);
});

test("a server without isolation headers is enough, and from the second visit on the page is isolated", async (t) => {
  const site = await serve(t, dist, { isolated: false });
  const page = await open(await launch(t), site.url);
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  await page.click("#open-device");
  await page.waitForFunction(() => document.querySelector("#device-advice").textContent.includes("COOP and COEP"));
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  assert.match(await draw(page, "a green cactus"), /^Drawn/);
});

test("without WebGPU the page says so and draws with WebAssembly", async (t) => {
  const site = await serve(t, dist);
  const context = await launch(t);
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
  const page = await open(context, site.url);
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  await page.click("#open-device");
  await page.waitForFunction(() => document.querySelector("#device-facts").textContent.includes("none: this browser has no WebGPU"));
});

test("a worker that runs out of memory or dies is replaced", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await draw(page, "a red apple");
  for (const [fault, said] of [
    [`postMessage({ id: -1, error: { name: "OutOfMemory", message: "out of memory" }, fatal: true })`, /^Out of memory. Its memory has been freed/],
    [`setTimeout(() => { throw new Error("gone"); })`, /^the worker failed: .*gone/],
  ]) {
    await page.locator("#steps").fill("60");
    await page.click("#generate");
    await page.waitForFunction(() => /step [2-9] of 60/.test(document.querySelector("#phase").textContent), undefined, { timeout: 60_000 });
    // The worker may end before it has answered.
    const worker = page.workers().findLast((worker) => worker.url().endsWith("worker.js"));
    await worker.evaluate(fault).catch(() => {});
    await says(page, said);
    await page.locator("#steps").fill("2");
    await rest(page);
    assert.match(await draw(page), /^Drawn/);
  }
});

test("without storage for models everything is fetched anew, and works", async (t) => {
  const site = await serve(t, dist);
  const context = await launch(t);
  await context.addInitScript(() => delete StorageManager.prototype.getDirectory);
  const page = await open(context, site.url);
  await page.route("**/easel/worker.js", async (route) => {
    const response = await route.fetch();
    const body = `delete StorageManager.prototype.getDirectory;\n${await response.text()}`;
    await route.fulfill({ response, body });
  });
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  await page.click("#open-device");
  await page.waitForFunction(() => document.querySelector("#device-facts").textContent.includes("none: models are fetched anew"));
});

test("the smallest page draws and stops", async (t) => {
  const site = await serve(t, dist);
  const page = await (await launch(t)).newPage();
  await page.goto(`${site.url}example.html`);
  await page.click("button:has-text('Draw')");
  await page.waitForFunction(() => /^seed \d+, /.test(document.querySelector("output").value), undefined, { timeout: 90_000 });
  assert.equal(await page.$eval("img", (image) => image.naturalWidth), 128);
  await page.click("button:has-text('Draw')");
  await page.click("#stop");
  await page.waitForFunction(() => document.querySelector("output").value === "cancelled", undefined, { timeout: 5000 });
});

test("a picture that is asked for while the page loads its model waits for that, and nothing is loaded twice", async (t) => {
  const site = await serve(t, dist);
  const context = await launch(t);
  await context.addInitScript(() => {
    window.loads = 0;
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (message, ...rest) {
      if (message.method === "load") loads++;
      return post.call(this, message, ...rest);
    };
  });
  const page = await open(context, site.url);
  await draw(page, "a red apple");
  await page.reload();
  await page.waitForFunction(() => loads === 1);
  assert.match(await draw(page, "a green cactus"), /^Drawn/);
  assert.equal(await page.evaluate(() => loads), 1);
});
