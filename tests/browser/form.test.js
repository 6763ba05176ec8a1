// The form: by keyboard and by touch, with mistakes in it, and filled by pictures from elsewhere.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE, PHONE, dist, draw, dropBytes, launch, open, rest, says } from "./support/browser.js";
import { png } from "./support/pictures.js";
import { serve } from "./support/server.js";

async function opened(t, options) {
  const site = await serve(t, dist);
  return open(await launch(t, options), site.url);
}

/** Waits until the page says this about its progress. */
const until = (page, pattern) =>
  page.waitForFunction((pattern) => new RegExp(pattern).test(document.querySelector("#phase").textContent), pattern.source, { timeout: PATIENCE });

test("by keyboard alone: drawn, cancelled, looked at, deleted", async (t) => {
  const page = await opened(t);
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focus = (selector) => page.waitForFunction((selector) => document.activeElement.matches(selector), selector);
  // Past what is in the page's head.
  for (let k = 0; k < 9 && !(await page.$("#prompt:focus")); k++) await press("Tab");
  await page.keyboard.type("a red apple");
  await press("Enter");
  await until(page, /^Drawn in/);
  await focus("#prompt");
  // Long enough to be cancelled.
  await page.$eval("#steps", (steps) => (steps.value = "60"));
  await press("Enter");
  await until(page, /step [2-9] of/);
  await press("Escape");
  await until(page, /^Cancelled$/);
  await page.focus("#grid button");
  await press("Enter");
  await page.waitForSelector("#viewer[open]");
  for (let k = 0; k < 9 && !(await page.$("[data-action=delete]:focus")); k++) await press("Tab");
  await press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#grid li:not(.deleted)").length === 0);
  assert.deepEqual(page.errors, []);
});

test("what is wrong in closed settings opens them", async (t) => {
  const page = await opened(t, PHONE);
  await page.click("#settings summary");
  await page.fill("#width", "100");
  await page.click("#settings summary");
  await page.fill("#prompt", "a red apple");
  await page.click("#generate");
  await page.waitForFunction(() => document.activeElement.id === "width" && document.querySelector("#settings").open);
  assert.deepEqual(page.errors, []);
});

test("seeds end at 2^64-1, and begin again at 0", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("1");
  await page.check("#keepSeed");
  await page.fill("#seed", "18446744073709551616");
  await page.fill("#prompt", "a red apple");
  await page.click("#generate");
  assert.equal(await page.$eval("#seed", (seed) => seed.validationMessage), "The largest seed is 18446744073709551615");
  await page.fill("#seed", "18446744073709551615");
  await page.locator("#count").fill("2");
  await draw(page);
  await until(page, /^2 pictures drawn$/);
  await page.locator("#grid button").first().click();
  assert.match(await page.textContent("#viewer-settings"), /Seed0Drawn/);
  await page.keyboard.press("ArrowRight");
  assert.match(await page.textContent("#viewer-settings"), /Seed18446744073709551615Drawn/);
});

test("settings of AUTOMATIC1111 are restored as they are, and what is missing is said", async (t) => {
  const page = await opened(t);
  const text = `a castle, (stone:1.2)
Negative prompt: blurry
Steps: 100, Sampler: DPM++ 2M Karras, CFG scale: 7.25, Seed: 12345, Size: 192x256, Model: Some Model, Denoising strength: 0.33`;
  await draw(page, "a red apple");
  await dropBytes(page, "castle.png", await png(page, 192, 256, text), "image/png", true);
  await says(page, /^Settings restored, but the model Some Model is not in this browser/);
  const fields = await page.evaluate(() => Object.fromEntries(new FormData(document.querySelector("#form"))));
  const { prompt, negativePrompt, steps, guidanceScale, scheduler, seed, width, height, strength, keepSeed } = fields;
  assert.deepEqual([prompt, negativePrompt], ["a castle, (stone:1.2)", "blurry"]);
  assert.deepEqual([steps, guidanceScale, scheduler, seed, keepSeed], ["100", "7.25", "dpm++2m-karras", "12345", "on"]);
  assert.deepEqual([width, height, strength], ["192", "256", "0.33"]);
  await page.reload();
  await page.waitForFunction(() => document.querySelector("#steps").value === "100");
  assert.equal(await page.inputValue("#guidanceScale"), "7.25");
});

test("a picture to start from gives the new one its shape", async (t) => {
  const page = await opened(t);
  await dropBytes(page, "wide.png", await png(page, 300, 200), "image/png", true);
  await page.waitForSelector("#start-thumb:not([hidden])");
  assert.deepEqual([await page.inputValue("#width"), await page.inputValue("#height")], ["160", "104"]);
  await page.locator("#steps").fill("2");
  await draw(page, "a red apple");
  assert.deepEqual(await page.$eval("#picture", ({ naturalWidth, naturalHeight }) => [naturalWidth, naturalHeight]), [160, 104]);
});

test("a finger paints the mask and does not scroll the page", async (t) => {
  const page = await opened(t, PHONE);
  await dropBytes(page, "square.png", await png(page, 128, 128), "image/png");
  await page.waitForSelector("#start-canvas:not([hidden])");
  const box = await page.locator("#start-canvas").boundingBox();
  // The picture is a square in the middle of the stage.
  const [width, x, y] = [box.height, box.x + (box.width - box.height) / 2, box.y];
  const [session, before] = [await page.context().newCDPSession(page), await page.evaluate(() => scrollY)];
  const touch = (type, ...touchPoints) => session.send("Input.dispatchTouchEvent", { type, touchPoints });
  await touch("touchStart", { x: x + 20, y: y + 20 });
  for (let k = 1; k <= 8; k++) await touch("touchMove", { x: x + 20, y: y + 20 + (k * (width - 40)) / 8 });
  await touch("touchEnd");
  assert.ok(await page.isEnabled("#mask-clear"));
  assert.equal(await page.evaluate(() => scrollY), before);
  const red = (at) =>
    page.$eval("#start-canvas", (canvas, at) => {
      // Paint has stripes of two colours.
      const { data } = canvas.getContext("2d").getImageData(0.05 * canvas.width, at * canvas.height, 8, 8);
      return Math.max(...data.filter((_, index) => index % 4 === 0));
    }, at);
  assert.ok((await red(0.5)) > 100 && (await red(0.9)) > 100, `${await red(0.5)} and ${await red(0.9)} where it was painted`);
});

test("files that are neither pictures nor models are named for what they are", async (t) => {
  const page = await opened(t);
  for (const [name, content, type, said] of [
    ["broken.png", "not a picture", "image/png", /^This browser cannot read that picture$/],
    ["notes.txt", "hello", "text/plain", /^This browser cannot read that picture$/],
    ["broken.safetensors", "hello, this is no header", "", /^broken\/broken.safetensors: not a safetensors file/],
    ["small.gguf", "GGUF\x03\0\0\0", "", /^small\/small.gguf: the number of tensors takes 8 bytes, but the file has 0 left: it is cut off$/],
  ]) {
    await dropBytes(page, name, content, type);
    await says(page, said);
    await rest(page);
  }
  assert.equal(await page.inputValue("#model"), "easel-emoji");
  await page.click("#open-models");
  await page.waitForFunction(() => /to fetch/.test(document.querySelector("#model-list").textContent));
  await page.keyboard.press("Escape");
  assert.match(await draw(page, "a red apple"), /^Drawn/);
});

test("where the browser keeps nothing of a page, it draws all the same", async (t) => {
  const site = await serve(t, dist);
  const context = await launch(t);
  await context.addInitScript(() => {
    const refuse = () => {
      throw new DOMException("no storage here", "SecurityError");
    };
    Object.defineProperty(window, "localStorage", { get: refuse });
    IDBFactory.prototype.open = refuse;
  });
  const page = await open(context, site.url);
  await page.click("#theme");
  assert.match(await draw(page, "a red apple"), /^Drawn/);
  await says(page, /^This browser keeps no pictures$/);
  assert.equal(await page.locator("#grid li").count(), 1);
  assert.deepEqual(page.errors, []);
});

test("on a telephone what is drawn and how to stop it are in view", async (t) => {
  const page = await opened(t, PHONE);
  await page.click("#settings summary");
  await page.locator("#steps").fill("60");
  await page.fill("#prompt", "a red apple");
  await page.click("#generate");
  await until(page, /step [2-9] of/);
  const seen = (selector) =>
    page.$eval(selector, (element) => {
      const { top, bottom } = element.getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    });
  assert.deepEqual([await seen("#preview"), await seen("#generate")], [true, true]);
  await page.tap("#generate");
  await until(page, /^Cancelled$/);
});
