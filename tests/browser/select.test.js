// Select on the page: with a pointer, with a finger, with a keyboard; what comes of a selection; words that are scored.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { test } from "node:test";
import { violations } from "./support/axe.js";
import { PATIENCE, PHONE, draw, says } from "./support/browser.js";
import { golden } from "./support/golden.js";
import { inSight, opened, until } from "./support/states.js";

const SCREENSHOTS = process.env.EASEL_SCREENSHOTS;

/** Keeps a picture of the page where `EASEL_SCREENSHOTS` says. */
async function shoot(page, name) {
  if (!SCREENSHOTS) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
}

/** Draws a picture and opens it to select in it, with the golden SAM from the disk. */
async function selecting(page) {
  page.setDefaultTimeout(PATIENCE);
  const settings = (open) => page.$eval("#settings", (details, open) => (details.open = open), open);
  await settings(true);
  await page.locator("#steps").fill("2");
  await page.fill("#seed", "7");
  await settings(!page.viewportSize() || page.viewportSize().width > 900);
  await draw(page, "a red apple");
  await page.click("#actions [data-action=select]");
  await page.waitForSelector("#models[open]");
  assert.equal(await page.evaluate(() => document.activeElement.id), "looking-title");
  await page.setInputFiles("#model-folder", `${golden}sam`);
  await page.waitForSelector("#select:not([hidden])");
  await until(page, /^(Click|Tap) what you want/);
}

/** A place on the picture, in shares of its sides. */
async function place(page, across, down) {
  const { x, y, width, height } = await page.locator("#select").boundingBox();
  const side = Math.min(width, height);
  return [x + (width - side) / 2 + across * side, y + (height - side) / 2 + down * side];
}

const about = (page) => page.textContent("#left");

/** Waits until the page says this about the selection. */
const selected = (page, pattern) => page.waitForFunction((pattern) => new RegExp(pattern).test(document.querySelector("#left").textContent), pattern.source);

/** Waits for another selection than the one before. */
const another = (page, before) =>
  page.waitForFunction((before) => {
    const now = document.querySelector("#left").textContent;
    return /% of the picture/.test(now) && now !== before;
  }, before);

test("a pointer selects, excludes and draws boxes; what is selected is cut out, inverted and redrawn", async (t) => {
  const page = await opened(t);
  await selecting(page);
  await says(page, /^sam is kept in this browser$/);
  assert.ok(await inSight(page, "#select-redraw"));
  assert.equal(await page.isDisabled("#select-redraw"), true);
  await page.mouse.click(...(await place(page, 0.4, 0.5)));
  await another(page, "");
  assert.match(await about(page), /^[\d.]+ % of the picture, size \d of 3$/);
  assert.match(await page.textContent("#announce"), /^Selected: /);
  assert.equal(await page.locator("#select .inside").count(), 1);
  assert.ok((await page.getAttribute("#select .line", "d")).startsWith("M"));
  // Another of the three masks, and the first one again after the last.
  const first = await about(page);
  const sizes = new Set([first]);
  for (let k = 0; k < 3; k++) {
    const before = await about(page);
    await page.click("#select-other");
    await another(page, before);
    sizes.add(await about(page));
  }
  assert.equal(sizes.size, 3);
  assert.equal(await about(page), first);
  const before = await about(page);
  await page.keyboard.down("Shift");
  await page.mouse.click(...(await place(page, 0.9, 0.9)));
  await page.keyboard.up("Shift");
  await another(page, before);
  assert.equal(await page.locator("#select .outside").count(), 1);
  assert.match(await about(page), /^[\d.]+ % of the picture$/);
  await page.click("#select-undo");
  await selected(page, /size \d of 3$/);
  assert.equal(await about(page), first);
  const [from, to] = [await place(page, 0.2, 0.2), await place(page, 0.8, 0.7)];
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move(...to, { steps: 3 });
  await page.mouse.up();
  await another(page, first);
  assert.equal(await page.locator("#select rect.line").count(), 1);
  const share = Number.parseFloat(await about(page));
  await page.click("#select-invert");
  await page.waitForSelector("#select-invert[aria-pressed=true]");
  assert.ok(Math.abs(Number.parseFloat(await about(page)) + share - 100) < 1.5, `${share} % and ${await about(page)}`);
  assert.equal(await page.getAttribute("#select-invert", "aria-pressed"), "true");
  const [cut] = await Promise.all([page.waitForEvent("download"), page.click("#select-cut")]);
  assert.match(cut.suggestedFilename(), /^a-red-apple-\d+-cut-out\.png$/);
  const transparent = await transparency(page, await cut.createReadStream());
  assert.deepEqual(transparent.size, [128, 128]);
  assert.ok(Math.abs(100 * (1 - transparent.share) - Number.parseFloat(await about(page))) < 2, `${100 * transparent.share} % are transparent`);
  await page.click("#select-redraw");
  await page.waitForSelector("#start-canvas:not([hidden])");
  assert.match(await page.getAttribute("#start-edit", "aria-label"), /redrawn where it is painted/);
  // One step of the brush, like any other.
  await page.click("#undo");
  assert.doesNotMatch(await page.getAttribute("#start-edit", "aria-label"), /where it is painted/);
  await page.click("#redo");
  await page.click("#generate");
  await page.waitForFunction(() => document.querySelectorAll("#grid li").length === 2);
  assert.deepEqual(page.errors, []);
});

/** Reads a PNG file and says how much of it is transparent. */
async function transparency(page, stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return page.evaluate(async (text) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return { size: [bitmap.width, bitmap.height], share: data.filter((value, at) => at % 4 === 3 && value === 0).length / (data.length / 4) };
  }, Buffer.concat(chunks).toString("base64"));
}

test("a keyboard is enough to select and to leave, and words are scored as bars", async (t) => {
  const page = await opened(t);
  await selecting(page);
  await says(page, /^sam is kept in this browser$/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "select");
  for (const key of ["ArrowLeft", "ArrowUp", " "]) await page.keyboard.press(key);
  await another(page, "");
  await page.keyboard.press("x");
  // One mask is left after a second point.
  await selected(page, /% of the picture$/);
  for (const key of ["m", "i"]) await page.keyboard.press(key);
  await page.waitForSelector("#select-invert[aria-pressed=true]");
  await page.keyboard.press("Control+z");
  await selected(page, /size \d of 3$/);
  for (const key of ["b", "ArrowRight", "ArrowDown", "Shift+ArrowDown", "Shift+ArrowRight", "b"]) await page.keyboard.press(key);
  await page.waitForSelector("#select rect.line");
  await until(page, /^Shift-click/);
  assert.deepEqual(await violations(page), []);
  await shoot(page, "desktop-select");
  await page.fill("#concepts-words", "a cat, a diagram, , a cat");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#models[open]");
  await page.setInputFiles("#model-folder", `${golden}clip-vit`);
  await says(page, /^clip-vit is kept in this browser$/);
  // Loading ends the selection; its picture is opened again.
  await until(page, /^(Click|Tap) what you want/);
  await page.fill("#concepts-words", "a cat, a diagram, , a cat");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#scores:not([hidden])");
  assert.equal(await page.textContent("#scores-title"), "In the picture");
  const shares = await page.$$eval("#scores-list .share", (shares) => shares.map(({ textContent }) => Number.parseFloat(textContent)));
  assert.equal(shares.length, 2);
  assert.ok(shares[0] >= shares[1] && Math.abs(shares[0] + shares[1] - 100) < 1.5, shares.join());
  assert.match(await page.textContent("#announce"), /^In the picture: a (cat|diagram), \d/);
  assert.deepEqual(await violations(page), []);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#select", { state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.dataset.action), "select");
  assert.equal(await page.isHidden("#scores"), true);
  // After a reload both models are here, and nothing is fetched or asked.
  await page.reload();
  await page.click("#actions:not([inert]) [data-action=select]");
  await until(page, /^(Click|Tap) what you want/);
  await page.keyboard.press("Escape");
  // Neither of them is offered for drawing.
  assert.deepEqual(await page.$$eval("#model option", (options) => options.map(({ value }) => value)), ["easel-emoji"]);
  await page.click("#open-models");
  assert.match(await page.textContent("#model-list"), /sam.*Cuts things out of pictures.*/);
  assert.deepEqual(page.errors, []);
});

for (const [name, options] of Object.entries({ phone: PHONE, dark: { colorScheme: "dark" }, forced: { forcedColors: "active" } })) {
  test(`Select is usable and in sight: ${name}`, async (t) => {
    const page = await opened(t, options);
    await selecting(page);
    await page.waitForFunction(() => !document.querySelector("#toast").matches(":popover-open"));
    const at = await place(page, 0.4, 0.5);
    await (options.hasTouch ? page.touchscreen.tap(...at) : page.mouse.click(...at));
    await another(page, "");
    assert.ok(await inSight(page, "#select-redraw"));
    // A finger has no Shift.
    const before = await about(page);
    await page.click("#select-exclude");
    const outside = await place(page, 0.9, 0.9);
    await (options.hasTouch ? page.touchscreen.tap(...outside) : page.mouse.click(...outside));
    await another(page, before);
    assert.equal(await page.locator("#select .outside").count(), 1);
    await shoot(page, `${name}-select`);
    // Where the system chooses the colours, axe computes contrasts with those that it has replaced.
    const rules = options.forcedColors ? { "color-contrast": { enabled: false } } : {};
    assert.deepEqual(await violations(page, { rules }), []);
  });
}

test("a picture of the gallery and one to start from are selected in, too", async (t) => {
  const page = await opened(t);
  await selecting(page);
  await page.keyboard.press("Escape");
  await page.locator("#grid button").first().click();
  await page.click("#viewer [data-action=select]");
  await until(page, /^(Click|Tap) what you want/);
  await page.click("#select-done");
  await page.click("#actions [data-action=start]");
  await page.click("#start-select");
  await until(page, /^(Click|Tap) what you want/);
  // A run takes the stage.
  await page.click("#generate");
  await page.waitForSelector("#select", { state: "hidden" });
  await until(page, /^Drawn in/);
  await page.click("#open-device");
  await page.click("#free-memory");
  await page.keyboard.press("Escape");
  await page.click("#actions [data-action=select]");
  await until(page, /^(Click|Tap) what you want/);
  assert.deepEqual(page.errors, []);
});
