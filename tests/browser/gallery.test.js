// The gallery: pictures stay, can be used again, downloaded and deleted.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { dist, draw, launch, open, says } from "./support/browser.js";
import { serve } from "./support/server.js";

async function withPictures(t, prompts) {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  await page.locator("#steps").fill("2");
  for (const prompt of prompts) await draw(page, prompt);
  return page;
}

test("pictures outlive a reload with their settings", async (t) => {
  const page = await withPictures(t, ["a red apple", "a green cactus"]);
  await page.reload();
  await page.waitForSelector("#grid li:nth-child(2)");
  assert.deepEqual(await page.locator("#grid img").evaluateAll((all) => all.map((image) => image.alt)), ["a green cactus", "a red apple"]);
  await page.locator("#grid button").nth(1).click();
  assert.match(await page.textContent("#viewer-settings"), /Modeleasel-emojiSize128 × 128Steps2/);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.textContent("#viewer-title"), "a green cactus");
  await page.keyboard.press("ArrowRight");
  await page.click("#viewer [data-action=reuse]");
  assert.equal(await page.inputValue("#prompt"), "a red apple");
  assert.ok(await page.isChecked("#keepSeed"));
  assert.deepEqual(page.errors, []);
});

test("a download is the picture with its settings inside", async (t) => {
  const page = await withPictures(t, ["a red apple"]);
  const seed = await page.inputValue("#seed");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#actions [data-action=download]")]);
  assert.equal(download.suggestedFilename(), `a-red-apple-${seed}.png`);
  const file = await readFile(await download.path(), "latin1");
  assert.match(file, new RegExp(`a red apple\nSteps: 2, Sampler: DDIM, CFG scale: 4, Seed: ${seed}, Size: 128x128`));
});

test("what is deleted is gone, unless it is brought back", async (t) => {
  const page = await withPictures(t, ["a red apple", "a green cactus"]);
  await page.locator("#grid button").first().click();
  await page.click("#viewer [data-action=delete]");
  await page.waitForFunction(() => document.querySelectorAll("#grid li:not(.deleted)").length === 1);
  await page.click("#grid .deleted button");
  await page.waitForFunction(() => document.querySelectorAll("#grid li:not(.deleted)").length === 2);
  await page.locator("#grid button").first().click();
  await page.click("#viewer [data-action=delete]");
  await page.reload();
  await page.waitForSelector("#grid li");
  assert.equal(await page.locator("#grid li").count(), 1);
});

test("a full storage costs no picture: it stays until the page closes, and that is said", async (t) => {
  const page = await withPictures(t, ["a red apple"]);
  await page.evaluate(() => {
    IDBObjectStore.prototype.add = () => {
      throw new DOMException("full", "QuotaExceededError");
    };
  });
  await draw(page, "a green cactus");
  await says(page, /storage is full: this picture is lost when the page closes/);
  assert.equal(await page.locator("#grid li").count(), 2);
  await page.locator("#grid button").first().click();
  assert.equal(await page.textContent("#viewer-title"), "a green cactus");
});

test("what one tab draws and deletes, the other shows", async (t) => {
  const page = await withPictures(t, ["a red apple"]);
  const other = await open(page.context(), page.url());
  const shows = (count) => other.waitForFunction((count) => document.querySelectorAll("#grid li:not(.deleted)").length === count, count, { polling: 100 });
  await shows(1);
  await draw(page, "a green cactus");
  await shows(2);
  await page.locator("#grid button").first().click();
  await page.click("#viewer [data-action=delete]");
  await shows(1);
});

test("a large gallery is shown piece by piece", async (t) => {
  const page = await withPictures(t, ["a red apple"]);
  await page.evaluate(async () => {
    const database = await new Promise((resolve) => {
      const opening = indexedDB.open("easel", 1);
      opening.onsuccess = () => resolve(opening.result);
    });
    const transaction = database.transaction("pictures", "readwrite");
    const store = transaction.objectStore("pictures");
    store.getAll().onsuccess = ({ target }) => {
      const [{ id, ...picture }] = target.result;
      for (let k = 0; k < 59; k++) store.add(picture);
    };
    await new Promise((resolve) => (transaction.oncomplete = resolve));
    database.close();
  });
  await page.reload();
  await page.waitForSelector("#more:not([hidden])");
  assert.equal(await page.locator("#grid li").count(), 48);
  assert.equal(await page.textContent("#gallery-count"), "60 kept in this browser");
  await page.click("#more");
  assert.equal(await page.locator("#grid li").count(), 60);
  assert.ok(await page.isHidden("#more"));
});
