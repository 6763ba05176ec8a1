// Progress and errors as they are: nothing is promised too early, and what went wrong stays until it is answered.
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Estimate } from "../../web/site/app/estimate.js";
import { dist, draw, launch, open, rest } from "./support/browser.js";
import { serve } from "./support/server.js";
import { inSight, opened, until } from "./support/states.js";

test("an estimate waits for a megabyte and for two seconds, and counts only what came since", () => {
  const early = Estimate.ofDownload();
  assert.equal(early.left(0, 14e6, 0.1), undefined);
  assert.equal(early.left(5e6, 14e6, 1.9), undefined);
  assert.equal(early.left(6e6, 14e6, 2.1)?.toFixed(2), "2.67");
  const slow = Estimate.ofDownload();
  slow.left(0, 14e6, 0);
  assert.equal(slow.left(2e3, 14e6, 9), undefined);
  const resumed = Estimate.ofDownload();
  resumed.left(10e6, 14e6, 1);
  assert.equal(resumed.left(12e6, 14e6, 5), 4);
});

test("on a slow line the time that is left is never absurd, and what is fetched includes the program", async (t) => {
  const site = await serve(t, dist);
  // Half a second of silence, then 4 MB in a second.
  site.faults.slow = { silence: 500, bytesPerSecond: 4e6 };
  const page = await (await launch(t)).newPage();
  await page.addInitScript(() => {
    window.seen = [];
    addEventListener("DOMContentLoaded", () => {
      const note = () => seen.push({ at: performance.now(), phase: phase.textContent, left: left.textContent, cost: cost.textContent });
      const [phase, left, cost] = ["phase", "left", "cost"].map((id) => document.getElementById(id));
      for (const place of [phase, left, cost]) new MutationObserver(note).observe(place, { childList: true, characterData: true, subtree: true });
    });
  });
  await page.goto(site.url);
  await page.fill("#prompt", "a red apple");
  await page.waitForFunction(() => /to fetch once$/.test(document.querySelector("#cost").textContent));
  await page.keyboard.press("Enter");
  await until(page, /^Drawn in/);
  const seen = await page.evaluate(() => window.seen);
  const costs = seen.map(({ cost }) => Number(cost.match(/^(\d+) MB/)?.[1] ?? 0));
  const program = (await stat(join(dist, "easel/threads/easel_web_bg.wasm"))).size;
  assert.ok(Math.max(...costs) >= Math.floor((13e6 + program) / 1e6), `said to be fetched: ${costs.join()}`);
  const fetching = seen.filter(({ phase }) => phase.startsWith("Fetching the model"));
  const begun = fetching[0].at;
  const told = fetching.filter(({ left }) => left.endsWith("left"));
  assert.deepEqual(told.filter(({ at }) => at - begun < 1900), []);
  assert.ok(told.length > 0, "no estimate at all");
  for (const { left } of told) assert.match(left, /^[\d.]+ s left$/);
});

test("an error stays on the stage in plain words, and Retry does the same again", async (t) => {
  const page = await opened(t);
  page.site.faults.cut = "/models/easel-emoji/unet/diffusion_pytorch_model.safetensors";
  page.site.faults.after = 2_000_000;
  await page.fill("#prompt", "a red apple");
  await page.click("#generate");
  await page.waitForSelector("#problem:not([hidden])");
  assert.equal(await page.textContent("#problem-words"), "The connection broke. What has arrived is kept, and trying again goes on from there.");
  assert.ok(await inSight(page, "#retry"));
  assert.equal(await page.getAttribute("#problem", "role"), "alert");
  assert.match(await page.textContent("#problem-detail"), /safetensors: the connection broke/);
  await rest(page);
  await page.click("#retry");
  await until(page, /^Drawn in/);
  assert.ok(await page.isHidden("#problem"));
  assert.deepEqual(page.errors, []);
});

test("a problem that is closed gives the examples back", async (t) => {
  const page = await opened(t);
  await page.selectOption("#place", "server");
  await page.fill("#server", page.site.url);
  await page.fill("#prompt", "a red apple");
  await page.click("#generate");
  await page.waitForSelector("#problem:not([hidden])");
  assert.match(await page.textContent("#problem-words"), /^The server did not draw this\.$/);
  assert.equal(await page.textContent("#cost"), "");
  await page.click("#problem-close");
  assert.ok(await inSight(page, "#examples button"));
});

test("a prompt of 4,000 characters raises no message, and what was left out is said in one line", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("2");
  await draw(page, "a red apple on a table ".repeat(200).slice(0, 4000));
  assert.equal(await page.locator("#toast > div").count(), 0);
  const note = await page.textContent("#note");
  assert.match(note, /^The prompt is longer than this model reads\. Left out: “.*…”$/);
  assert.ok(note.length < 140, note);
});
