// Models as cards: what they draw, what they take, whether they fit, and how they are deleted; words that the first one knows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { draw, says } from "./support/browser.js";
import { ROOMY, opened } from "./support/states.js";
import { openWith } from "./support/webgpu.js";

/** The facts on a card. */
const facts = (card) => card.locator("dl").evaluate((list) => Object.fromEntries([...list.querySelectorAll("dt")].map((term) => [term.textContent, term.nextSibling.textContent])));

test("the first page leads to better models, whose cards say what they draw and take, and why they do not fit", async (t) => {
  const page = await openWith(t, ROOMY);
  await page.click("#open-better");
  await page.waitForSelector("#better-list li:nth-child(5)");
  assert.equal(await page.evaluate(() => document.activeElement.id), "better-title");
  const turbo = page.locator("#better-list li", { hasText: "SD Turbo" });
  assert.match(await turbo.textContent(), /Photographs, paintings and scenes/);
  const { Licence, Memory, Draws, ...said } = await facts(turbo);
  assert.match(Licence, /^Stability AI Community: /);
  assert.match(Memory, /^about 3\.4 GB$/);
  assert.match(Draws, /^512 × 512 in 1 to 4 steps$/);
  assert.deepEqual(said, { "To fetch": "about 2.6 GB, once", Here: "fits this device" });
  const large = page.locator("#better-list li", { hasText: "Stable Diffusion XL" });
  assert.match(await large.textContent(), /Not on this device: needs about 8\.1 GB of memory, and WebAssembly has 4\.3 GB at most\./);
  assert.ok(await large.locator("button").isDisabled());
});

test("on a device with little memory the cards say so before anything is fetched", async (t) => {
  const page = await openWith(t, `Object.defineProperty(WorkerNavigator.prototype, "deviceMemory", { value: 2, configurable: true });`);
  await page.click("#open-better");
  await page.waitForSelector("#better-list li:nth-child(5)");
  assert.match(await page.textContent("#better-list li"), /Not on this device: needs about 3\.4 GB of memory, and this device has about 2 GB\./);
});

test("deleting asks, and keeps what is not meant", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("1");
  await draw(page, "a red apple");
  await page.click("#open-models");
  const card = page.locator("#model-list li");
  await page.waitForFunction(() => /kept/.test(document.querySelector("#model-list").textContent));
  assert.equal((await facts(card)).Files, "14 MB, kept");
  assert.ok(await card.locator("img").evaluate((image) => image.decode().then(() => image.naturalWidth > 0)));
  await card.getByRole("button", { name: "Delete easel-emoji" }).click();
  await card.getByRole("button", { name: "Keep" }).click();
  assert.equal((await facts(card)).Files, "14 MB, kept");
  await card.getByRole("button", { name: "Delete easel-emoji" }).click();
  await card.getByRole("button", { name: "Delete 14 MB for good" }).click();
  await says(page, /^easel-emoji deleted, 14 MB freed$/);
  assert.equal((await facts(card)).Files, "14 MB to fetch");
  await page.keyboard.press("Escape");
  await page.click("#open-device");
  await page.waitForSelector("#device[open]");
  await page.click("#clear-all");
  assert.equal(await page.textContent("#clear-all"), "Delete all models for good");
});

test("the words that the first model knows are picked from a list, and what it is for is said in a sentence", async (t) => {
  const page = await opened(t);
  assert.match(await page.textContent("#about"), /^easel-emoji, the model that comes with the page, draws emoji-like pictures of simple things\./);
  await page.click("#open-words");
  await page.fill("#words-find", "octo");
  await page.click("#words-list button");
  assert.equal(await page.inputValue("#prompt"), "an octopus");
  await page.click("#open-words");
  await page.fill("#words-find", "unicorn");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  assert.equal(await page.inputValue("#prompt"), "an octopus and a unicorn");
  assert.equal(await page.evaluate(() => document.activeElement.id), "prompt");
  await page.click("#open-words");
  await page.fill("#words-find", "spaceship");
  assert.equal(await page.textContent("#words-list"), "It was not taught “spaceship”.");
});

test("sizes that the model was not trained at are warned of, shapes are set by name, and a background by its colour", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("1");
  await draw(page, "a red apple");
  assert.equal(await page.textContent("#size-note"), "");
  await page.click("[data-shape='16:9']");
  assert.deepEqual([await page.inputValue("#width"), await page.inputValue("#height")], ["168", "96"]);
  assert.equal(await page.getAttribute("[data-shape='16:9']", "aria-pressed"), "true");
  assert.match(await page.textContent("#size-note"), /^easel-emoji was trained at 128 × 128\./);
  await page.click("[data-shape='1:1']");
  assert.equal(await page.textContent("#size-note"), "");
  await page.selectOption("#style", { label: "On blue" });
  await draw(page, "a skull");
  assert.equal(await page.locator("#grid img").first().getAttribute("alt"), "a skull on a blue background");
  assert.equal(await page.inputValue("#prompt"), "a skull");
});
