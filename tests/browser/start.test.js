// The picture to start from: beside the button, painted on the stage, by pointer, wheel and keys.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PHONE, draw, dropBytes } from "./support/browser.js";
import { png } from "./support/pictures.js";
import { ZOOMED, inSight, opened } from "./support/states.js";

/** How much of the picture to start from is painted, from 0 to 1: it was white. */
const painted = (page) =>
  page.$eval("#start-canvas", (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) if (data[at] - data[at + 2] > 60) count++;
    return (4 * count) / data.length;
  });

/** A page whose stage shows a picture of black and white to be painted on. */
async function painting(t, options) {
  const page = await opened(t, options);
  await dropBytes(page, "square.png", await png(page, 128, 128), "image/png");
  await page.waitForSelector("#start-canvas:not([hidden])");
  return page;
}

for (const [name, options] of Object.entries({ "a laptop": {}, "a telephone": PHONE, "a zoom of 200 %": ZOOMED })) {
  test(`“Start from this” brings the picture to the stage, and its thumbnail beside the button: ${name}`, async (t) => {
    const page = await opened(t, options);
    await page.$eval("#settings", (details) => (details.open = true));
    await page.locator("#steps").fill("2");
    await draw(page, "a red apple");
    await page.click("#actions [data-action=start]");
    await page.waitForSelector("#start-canvas:not([hidden])");
    assert.ok(await inSight(page, "#start-canvas"), "the picture is out of sight");
    assert.equal(await page.evaluate(() => document.activeElement.id), "start-canvas");
    await page.locator("#start-edit").scrollIntoViewIfNeeded();
    const [thumb, button] = [await page.locator("#start-edit").boundingBox(), await page.locator("#generate").boundingBox()];
    assert.ok(Math.abs(thumb.y - button.y) < 10 && thumb.x - button.x - button.width < 40, "the thumbnail is not beside the button");
    await page.click("#start-remove");
    assert.ok(await page.isHidden("#start-canvas"));
    assert.ok(await page.isVisible("#actions"));
  });
}

test("strokes are erased, undone and done again; the wheel changes the brush", async (t) => {
  const page = await painting(t);
  const box = await page.locator("#start-canvas").boundingBox();
  const middle = [box.x + box.width / 2, box.y + box.height / 2];
  const stroke = async () => {
    await page.mouse.move(...middle);
    await page.mouse.down();
    await page.mouse.move(middle[0] + box.height / 4, middle[1], { steps: 4 });
    await page.mouse.up();
    await page.mouse.move(box.x + 2, box.y + 2);
  };
  await stroke();
  const once = await painted(page);
  assert.ok(once > 0.01, `${once}`);
  await page.click("#undo");
  assert.equal(await painted(page), 0);
  await page.click("#redo");
  assert.equal(await painted(page), once);
  await page.mouse.move(...middle);
  for (let k = 0; k < 5; k++) await page.mouse.wheel(0, -100);
  await page.waitForFunction(() => Number(document.querySelector("#brush").value) > 12);
  await page.click("#erase");
  await stroke();
  assert.equal(await painted(page), 0);
  await page.click("#undo");
  assert.equal(await painted(page), once);
  await page.click("#mask-clear");
  assert.equal(await painted(page), 0);
  assert.ok(await page.isDisabled("#undo"));
});

test("the brush by keyboard: moved, grown, erased, undone, done; the prompt keeps its keys", async (t) => {
  const page = await painting(t);
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  await press("ArrowRight", "ArrowRight", " ");
  const small = await painted(page);
  assert.ok(small > 0);
  await press("Control+z");
  assert.equal(await painted(page), 0);
  await press("Control+Shift+z", "]", "]", "]", " ");
  assert.ok((await painted(page)) > small);
  await press("[", "e", "]", "]", "]", " ");
  assert.ok((await painted(page)) < small);
  await press("Enter");
  assert.ok(await page.isHidden("#start-canvas"));
  assert.equal(await page.evaluate(() => document.activeElement.id), "generate");
});

test("what is painted alone is redrawn, and can be painted further", async (t) => {
  const page = await painting(t);
  await page.keyboard.press(" ");
  await page.locator("#steps").fill("2");
  await draw(page, "a red apple");
  assert.ok(await page.isHidden("#start-canvas"));
  assert.match(await page.getAttribute("#start-edit", "aria-label"), /redrawn where it is painted/);
  await page.click("#start-edit");
  assert.ok(await page.isVisible("#start-canvas"));
  assert.ok(await page.isEnabled("#undo"));
});
