// A graphics device that is taken away while it draws. Not among the tests: see README.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import { pixels } from "./support/browser.js";
import { difference, fromFile } from "./support/pictures.js";
import { ask, KEEP_DEVICES, openWith, REFERENCE, told, until, worker } from "./support/webgpu.js";

test("a device that is lost", async (t) => {
  const page = await openWith(t, KEEP_DEVICES);
  const off = async () => difference(await pixels(page), await fromFile(page, REFERENCE));

  await t.test("a device that is lost is opened anew, and the picture goes on", async () => {
    await ask(page);
    await page.click("#generate");
    await until(page, "step 2 of 4");
    await worker(page).evaluate(() => devices.at(-1).destroy());
    await told(page, "the GPU was lost .*; going on from the last step on a fresh one");
    await until(page, "^Drawn in");
    assert.equal(await worker(page).evaluate(() => devices.length), 2);
    assert.ok((await off()) <= 3, `largest difference ${await off()}`);
  });

  await t.test("a device that is lost again and again ends the picture", async () => {
    await worker(page).evaluate(() => {
      const request = GPUAdapter.prototype.requestDevice;
      GPUAdapter.prototype.requestDevice = async function (...options) {
        const device = await request.apply(this, options);
        device.destroy();
        return device;
      };
      devices.at(-1).destroy();
    });
    await ask(page);
    await page.click("#generate");
    await told(page, "keeps getting lost");
    await until(page, "^Stopped$");
  });
});
