// From the first visit to pictures: drawing, progress, cancelling, seeds, starting from a picture.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE, dist, draw, drop, launch, open, pixels } from "./support/browser.js";
import { difference, fromFile } from "./support/pictures.js";
import { serve } from "./support/server.js";

/** The form as `easel generate` would be called. */
async function ask(page, { prompt, seed, keep = true }) {
  await page.fill("#prompt", prompt);
  await page.fill("#seed", String(seed));
  await page.setChecked("#keepSeed", keep);
}

test("the first click fetches the model and draws what the command line draws", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await page.waitForFunction(() => document.querySelector("#cost").textContent === "14 MB to fetch once");
  await ask(page, { prompt: "a red apple", seed: 7 });
  const said = await draw(page);
  assert.match(said, /^Drawn in [\d.]+ s$/);
  const reference = await fromFile(page, new URL("reference/red-apple-7.png", import.meta.url));
  const got = await pixels(page);
  assert.ok(difference(got, reference) <= 3, `largest difference ${difference(got, reference)}`);
  assert.equal(await page.locator("#grid li").count(), 1);
  assert.deepEqual(page.errors, []);
});

test("a picture of the command line that is dropped restores its settings, and draws the same", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await draw(page, "a green cactus");
  const reference = new URL("reference/blue-star.png", import.meta.url);
  await drop(page, reference);
  await page.waitForFunction(() => document.querySelector("#seed").value === "18446744073709551615");
  assert.equal(await page.inputValue("#prompt"), "a blue star");
  assert.equal(await page.inputValue("#negativePrompt"), "a face");
  assert.equal(await page.inputValue("#scheduler"), "dpm++2m-karras");
  assert.deepEqual([await page.inputValue("#steps"), await page.inputValue("#guidanceScale")], ["8", "6"]);
  await draw(page);
  const off = difference(await pixels(page), await fromFile(page, reference));
  assert.ok(off <= 3, `largest difference ${off}`);
});

test("nothing else than this site is asked for anything", async (t) => {
  const site = await serve(t, dist);
  const context = await launch(t);
  const foreign = [];
  context.on("request", (request) => {
    if (!request.url().startsWith(site.url) && !/^(blob|data):/.test(request.url())) foreign.push(request.url());
  });
  const page = await open(context, site.url);
  await draw(page, "a green cactus");
  assert.deepEqual(foreign, []);
});

test("previews and progress come with the steps, and the page stays free", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await draw(page, "a red apple");
  await page.evaluate(() => {
    window.seen = { tasks: [], previews: 0, steps: [], left: 0 };
    new PerformanceObserver((list) => {
      for (const task of list.getEntries()) seen.tasks.push(task.duration);
    }).observe({ type: "longtask" });
    const watch = new MutationObserver(() => {
      const text = document.querySelector("#phase").textContent;
      if (!seen.steps.includes(text)) seen.steps.push(text);
      if (document.querySelector("#left").textContent.endsWith("left")) seen.left++;
      if (!document.querySelector("#preview").hidden) seen.previews++;
    });
    watch.observe(document.querySelector("#status"), { childList: true, subtree: true, characterData: true });
  });
  await draw(page, "a rocket on a blue background");
  const seen = await page.evaluate(() => window.seen);
  assert.ok(seen.steps.includes("Drawing, step 10 of 20"), seen.steps.join("; "));
  assert.ok(seen.left > 5 && seen.previews > 5, `${seen.left} times left, ${seen.previews} previews`);
  assert.deepEqual(seen.tasks.filter((duration) => duration > 50), []);
});

test("cancelling stops within a step and leaves the page ready", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await draw(page, "a red apple");
  await page.locator("#steps").fill("60");
  await page.click("#generate");
  await page.waitForFunction(() => /step [3-9] of 60/.test(document.querySelector("#phase").textContent), undefined, { timeout: PATIENCE });
  await page.click("#generate");
  await page.waitForFunction(() => document.querySelector("#phase").textContent === "Cancelled", undefined, { timeout: 5000 });
  assert.equal(await page.locator("#grid li").count(), 1);
  await page.locator("#steps").fill("4");
  assert.match(await draw(page), /^Drawn/);
});

test("a kept seed draws the same again, another one something else, several pictures count up", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await page.locator("#steps").fill("4");
  await ask(page, { prompt: "a blue circle", seed: 41 });
  await draw(page);
  const first = await pixels(page);
  await draw(page);
  assert.equal(difference(first, await pixels(page)), 0);
  await page.locator("#count").fill("2");
  await draw(page);
  await page.waitForFunction(() => document.querySelector("#phase").textContent === "2 pictures drawn", undefined, { timeout: PATIENCE });
  assert.ok(difference(first, await pixels(page)) > 20);
  await page.locator("#grid button").first().click();
  assert.match(await page.textContent("#viewer-settings"), /Seed42/);
});

test("starting from a picture keeps its composition, a mask keeps what is not painted", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await ask(page, { prompt: "a red apple", seed: 7 });
  await draw(page);
  const before = await pixels(page);
  await page.click("#actions [data-action=start]");
  await page.locator("#strength").fill("0.3");
  await page.fill("#prompt", "a green apple");
  await draw(page);
  const slight = difference(before, await pixels(page), "mean");
  assert.ok(slight > 0 && slight < 40, `mean difference ${slight}`);
  await page.click("#start-edit");
  await page.locator("#strength").fill("1");
  const box = await page.locator("#start-canvas").boundingBox();
  // The picture is a square in the middle of the stage.
  const left = box.x + (box.width - box.height) / 2;
  await page.mouse.move(left + box.height * 0.1, box.y + box.height * 0.1);
  await page.mouse.down();
  await page.mouse.move(left + box.height * 0.3, box.y + box.height * 0.1, { steps: 4 });
  await page.mouse.up();
  await page.fill("#prompt", "a red apple on a black background");
  await draw(page);
  const painted = await pixels(page);
  const corner = (image) => image.data.filter((_, i) => Math.floor(i / 4 / 128) > 100);
  const kept = difference({ ...before, data: corner(before) }, { ...painted, data: corner(painted) }, "mean");
  assert.ok(kept < 12, `mean difference outside the paint ${kept}`);
});

test("a tab in the background draws on, and its title says how far it is", async (t) => {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await draw(page, "a red apple");
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  const titled = (pattern) => page.waitForFunction((pattern) => new RegExp(pattern).test(document.title), pattern, { polling: 20 });
  await page.click("#generate");
  await hide(true);
  await titled("^[1-9][05] % · Easel$");
  await titled("^Drawn in .* s · Easel$");
  await hide(false);
  await titled("^Easel$");
});
