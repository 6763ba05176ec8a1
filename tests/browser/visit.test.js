// A first visit as a whole: how long it takes on a slow line, how it feels, and that a keyboard is enough for all of it.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { dist, draw, launch } from "./support/browser.js";
import { serve } from "./support/server.js";
import { ROOMY, opened, until } from "./support/states.js";
import { openWith } from "./support/webgpu.js";

test("on a line of 1.5 MB a second one click leads to a picture, and nothing jumps", async (t) => {
  const site = await serve(t, dist);
  site.faults.slow = { silence: 50, bytesPerSecond: 1.5e6 };
  const page = await (await launch(t)).newPage();
  await page.addInitScript(() => {
    window.seen = { paint: 0, shifts: 0, longest: 0 };
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.longest = Math.max(seen.longest, duration);
    }).observe({ type: "longtask", buffered: true });
    new PerformanceObserver((list) => (seen.paint = list.getEntries().at(-1).startTime)).observe({ type: "largest-contentful-paint", buffered: true });
    new PerformanceObserver((list) => {
      for (const { hadRecentInput, value } of list.getEntries()) if (!hadRecentInput) seen.shifts += value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(site.url);
  await page.waitForFunction(() => seen.paint > 0);
  const { paint } = await page.evaluate(() => window.seen);
  await page.click("#examples button");
  await until(page, /^Drawn in/);
  const { shifts, longest, now } = await page.evaluate(() => ({ ...window.seen, now: performance.now() }));
  t.diagnostic(`1 click, ${Math.round(now)} ms to the first picture, largest paint after ${Math.round(paint)} ms, layout shifts ${shifts.toFixed(4)}, longest task ${Math.round(longest)} ms`);
  assert.ok(shifts < 0.01, `layout shifts ${shifts}`);
});

test("a keyboard is enough from the first visit to a picture that is redrawn in part and downloaded", async (t) => {
  const page = await opened(t);
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const reach = async (selector, key = "Tab") => {
    for (let k = 0; k < 60 && !(await page.$(`${selector}:focus`)); k++) await press(key);
    assert.ok(await page.$(`${selector}:focus`), `${selector} was not reached`);
  };
  await reach("#prompt");
  await page.keyboard.type("a red apple");
  await press("Enter");
  await until(page, /^Drawn in/);
  await reach("#actions [data-action=start]");
  await press("Enter");
  await page.waitForSelector("#start-canvas:focus");
  await press("ArrowUp", "ArrowUp", " ", "ArrowRight", " ", "Enter");
  await page.waitForSelector("#generate:focus");
  assert.match(await page.getAttribute("#start-edit", "aria-label"), /redrawn where it is painted/);
  await press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#grid li").length === 2);
  await until(page, /^Drawn in/);
  await reach("#actions [data-action=download]");
  const [download] = await Promise.all([page.waitForEvent("download"), press("Enter")]);
  assert.match(download.suggestedFilename(), /^a-red-apple-\d+\.png$/);
  assert.deepEqual(page.errors, []);
});

/** What assistive technology is told, without numbers that differ from run to run and without long lists of choices. */
async function tree(page) {
  const text = await page.locator("body").ariaSnapshot();
  const lines = text.split("\n").filter((line) => !/- option |- listitem|^\s*- button "[a-z’' -]+"$/.test(line));
  return `${lines.join("\n").replace(/\d+/g, "0").replace(/(0:0:0) [AP]M/, "$1").replace(/0 thread\b/, "0 threads")}\n`;
}

test("the accessibility tree of each state is as it was", async (t) => {
  const page = await openWith(t, ROOMY);
  const same = async (state) => {
    const file = new URL(`reference/tree-${state}.txt`, import.meta.url);
    const now = await tree(page);
    if (process.env.EASEL_SNAPSHOTS) return writeFile(file, now);
    assert.equal(now, await readFile(file, "utf8"), `reference/tree-${state}.txt; EASEL_SNAPSHOTS=1 writes it anew`);
  };
  await page.waitForFunction(() => document.querySelector("#cost").textContent === "14 MB to fetch once");
  await same("first");
  await page.locator("#steps").fill("2");
  await page.locator("#count").fill("2");
  await draw(page, "a red apple");
  await same("drawn");
  await page.click("#actions [data-action=start]");
  await page.waitForSelector("#start-canvas:not([hidden])");
  await same("painting");
  await page.click("#start-done");
  await page.locator("#grid button").first().click();
  await same("viewer");
  await page.keyboard.press("Escape");
  await page.click("#open-models");
  await page.waitForSelector("#better-list li:nth-child(5)");
  await same("models");
});
