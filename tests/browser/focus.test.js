// Focus and scroll belong to the visitor: no run moves them, and what is drawn and stopped stays in sight.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PHONE, draw, rest } from "./support/browser.js";
import { ZOOMED, inSight, opened, until } from "./support/states.js";

const focused = (page) => page.evaluate(() => document.activeElement.id);

test("typing goes on while it draws, and Enter twice cancels nothing", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("30");
  await page.focus("#prompt");
  await page.keyboard.type("a red apple");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await until(page, /^Drawing, step/);
  await page.keyboard.type(" and a tree");
  assert.equal(await page.inputValue("#prompt"), "a red apple and a tree");
  assert.equal(await focused(page), "prompt");
  await page.keyboard.press("Enter");
  await until(page, /^Drawn in/);
  assert.equal(await focused(page), "prompt");
  assert.equal(await page.locator("#grid img").getAttribute("alt"), "a red apple");
});

test("Draw becomes Cancel in place, and a double press is one press", async (t) => {
  const page = await opened(t);
  await draw(page, "a red apple");
  await page.locator("#steps").fill("40");
  const place = () => page.locator("#generate").boundingBox();
  const before = await place();
  await page.dblclick("#generate");
  await until(page, /step [2-9] of 40/);
  assert.equal(await page.textContent("#generate"), "Cancel");
  assert.deepEqual(await place(), before);
  await page.click("#generate");
  await until(page, /^Cancelled$/);
  assert.equal(await page.textContent("#generate"), "Draw");
  // A line break in another field draws, but does not cancel.
  await page.focus("#seed");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await until(page, /^Drawing, step/);
  await page.keyboard.press("Enter");
  await until(page, /^Drawn in/);
});

for (const [name, options] of Object.entries({ "a laptop": {}, "a telephone": PHONE, "a zoom of 200 %": ZOOMED })) {
  test(`nothing scrolls by itself, and the picture is in sight where settings are changed: ${name}`, async (t) => {
    const page = await opened(t, options);
    await page.$eval("#settings", (details) => (details.open = true));
    await page.locator("#steps").fill("4");
    await page.fill("#prompt", "a red apple");
    await page.focus("#seed");
    await page.locator("#seed").scrollIntoViewIfNeeded();
    const scrolls = () => page.evaluate(() => [scrollY, ...[...document.querySelectorAll(".panel, #form")].map(({ scrollTop }) => scrollTop)]);
    const before = await scrolls();
    await page.keyboard.press("Enter");
    await until(page, /^Drawn in/);
    await rest(page);
    assert.deepEqual(await scrolls(), before);
    assert.equal(await focused(page), "seed");
    assert.ok(await inSight(page, "#paper"), "the stage is out of sight");
    assert.ok(await inSight(page, "#seed"), "the field is out of sight");
  });
}
