// What the form says of the picture that is shown, and what it keeps of what was typed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE, draw, pixels } from "./support/browser.js";
import { difference } from "./support/pictures.js";
import { opened, until } from "./support/states.js";

test("the seed field follows the picture that is shown", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("2");
  await page.locator("#count").fill("4");
  await draw(page, "a blue circle");
  await until(page, /^4 pictures drawn$/);
  const seeds = await page.locator("#batch button:has(img)").evaluateAll((all) => all.map(({ ariaLabel }) => ariaLabel.match(/seed (\d+)/)[1]));
  assert.equal(new Set(seeds).size, 4);
  assert.equal(await page.inputValue("#seed"), seeds[3]);
  assert.equal(await page.textContent("#left"), `Seed ${seeds[3]}`);
  await page.locator("#batch button:has(img)").nth(1).click();
  await page.waitForFunction((seed) => document.querySelector("#seed").value === seed, seeds[1]);
  assert.equal(await page.isChecked("#keepSeed"), false);
  // All side by side, and the chosen one large again.
  await page.click("#batch button:has-text('Compare')");
  assert.equal(await page.locator("#compare img").count(), 4);
  await page.locator("#compare button").nth(2).click();
  await page.waitForFunction((seed) => document.querySelector("#seed").value === seed, seeds[2]);
  assert.ok(await page.isHidden("#compare"));
});

test("a seed that was typed is kept, and one that was rolled is drawn with", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("2");
  await draw(page, "a blue circle");
  await page.fill("#seed", "41");
  assert.ok(await page.isChecked("#keepSeed"));
  await draw(page);
  const first = await pixels(page);
  await draw(page);
  assert.equal(await page.inputValue("#seed"), "41");
  assert.equal(difference(first, await pixels(page)), 0);
  await page.uncheck("#keepSeed");
  await page.click("#reroll");
  const rolled = await page.inputValue("#seed");
  await draw(page);
  assert.equal(await page.inputValue("#seed"), rolled);
  await draw(page);
  assert.notEqual(await page.inputValue("#seed"), rolled);
});

test("another one like it leaves a newly typed prompt alone, and pins no scheduler", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("2");
  await draw(page, "a blue circle");
  const seed = await page.inputValue("#seed");
  await page.fill("#prompt", "something else");
  await page.click("#actions [data-action=variation]");
  await page.waitForFunction(() => document.querySelectorAll("#grid li").length === 2, undefined, { timeout: PATIENCE });
  assert.equal(await page.inputValue("#prompt"), "something else");
  assert.equal(await page.inputValue("#scheduler"), "");
  assert.notEqual(await page.inputValue("#seed"), seed);
  const alts = await page.locator("#grid img").evaluateAll((all) => all.map(({ alt }) => alt));
  assert.deepEqual(alts, ["a blue circle, 2 of 2", "a blue circle, 1 of 2"]);
  // Settings of the gallery do not pin it, either.
  await page.locator("#grid button").first().click();
  await page.click("#viewer [data-action=reuse]");
  assert.equal(await page.inputValue("#scheduler"), "");
});

test("after a reload the last picture is on the stage, and another one like it can be drawn", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("2");
  await draw(page, "a blue circle");
  const before = await pixels(page);
  const seed = await page.inputValue("#seed");
  await page.reload();
  await page.waitForFunction(() => document.querySelector("#picture").naturalWidth > 0);
  assert.equal(difference(before, await pixels(page)), 0);
  await page.waitForFunction((seed) => document.querySelector("#left").textContent === `Seed ${seed}`, seed);
  await page.waitForFunction(() => /^easel-emoji on/.test(document.querySelector("#device-line").textContent));
  await page.click("#actions [data-action=variation]");
  await page.waitForFunction(() => document.querySelectorAll("#grid li").length === 2, undefined, { timeout: PATIENCE });
  assert.deepEqual(page.errors, []);
});

test("schedulers that the model cannot take are not offered", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("2");
  await draw(page, "a blue circle");
  const offered = await page.locator("#scheduler option").evaluateAll((all) => all.map(({ value }) => value));
  assert.ok(offered.includes("euler") && offered.includes("dpm++2m-karras"), offered.join());
  assert.deepEqual(offered.filter((name) => name.startsWith("flow")), []);
});
