// Drawing while the visitor types, with a model of few steps.
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { PATIENCE, dist, draw } from "./support/browser.js";
import { serve } from "./support/server.js";
import { opened, until } from "./support/states.js";

/** A page with a model that says that it takes two steps. */
async function quick(t) {
  const page = await opened(t);
  const root = await mkdtemp(join(tmpdir(), "easel-model-"));
  t.after(() => rm(root, { recursive: true }));
  await cp(join(dist, "models/easel-emoji"), root, { recursive: true });
  const manifest = JSON.parse(await readFile(join(root, "manifest.json"), "utf8"));
  await writeFile(join(root, "manifest.json"), JSON.stringify({ ...manifest, name: "quick", usual: { steps: 2, guidanceScale: 4 } }));
  const there = await serve(t, root);
  await page.click("#open-models");
  await page.fill("#model-url", `${there.url}manifest.json`);
  await page.click("#model-url-form button");
  await page.click("#model-plan button");
  await until(page, /^quick is ready$/);
  return page;
}

test("with a model of few steps the picture follows the words, and ends with the last of them", async (t) => {
  const page = await quick(t);
  await page.check("#live");
  await page.evaluate(() => {
    window.shown = [];
    const picture = document.querySelector("#picture");
    new MutationObserver(() => shown.push(picture.alt)).observe(picture, { attributeFilter: ["src", "alt"] });
  });
  const seed = await page.inputValue("#seed");
  const words = ["a red apple", "a green cactus", "a blue car", "a skull", "a rainbow", "a rocket", "a red heart", "a sunflower"];
  for (const prompt of words) await page.fill("#prompt", prompt);
  await page.waitForFunction(() => document.querySelector("#picture").alt === "a sunflower", undefined, { timeout: PATIENCE });
  assert.deepEqual([...new Set(await page.evaluate(() => window.shown))].filter(Boolean), ["a sunflower"]);
  assert.equal(await page.inputValue("#seed"), seed);
  assert.equal(await page.locator("#grid li").count(), 0);
  // Enter keeps the picture that is seen.
  await page.press("#prompt", "Enter");
  await page.waitForFunction(() => document.querySelectorAll("#grid li").length === 1, undefined, { timeout: PATIENCE });
  assert.equal(await page.inputValue("#seed"), seed);
  assert.deepEqual(page.errors, []);
});

test("with a model of many steps it is not offered", async (t) => {
  const page = await opened(t);
  await draw(page, "a red apple");
  assert.ok(await page.isHidden("#live-field"));
});
