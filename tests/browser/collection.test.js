// What is done with pictures: favourites, many in one file, the clipboard.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { draw, says } from "./support/browser.js";
import { opened } from "./support/states.js";

async function withPictures(t, prompts, options) {
  const page = await opened(t, options);
  await page.locator("#steps").fill("1");
  for (const prompt of prompts) await draw(page, prompt);
  return page;
}

test("favourites are marked, kept, and shown alone", async (t) => {
  const page = await withPictures(t, ["a red apple", "a skull", "a rainbow"]);
  await page.locator("#grid button").nth(1).click();
  await page.click("#viewer [data-action=favourite]");
  assert.equal(await page.getAttribute("#viewer [data-action=favourite]", "aria-pressed"), "true");
  await page.keyboard.press("Escape");
  await page.reload();
  await page.waitForSelector("#grid .favourite");
  await page.click("#favourites");
  assert.deepEqual(await page.locator("#grid img").evaluateAll((all) => all.map(({ alt }) => alt)), ["a skull, favourite"]);
  await page.click("#favourites");
  assert.equal(await page.locator("#grid li").count(), 3);
});

test("all that is shown comes in one archive, each picture with its settings", async (t) => {
  const page = await withPictures(t, ["a red apple", "a skull"]);
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
  assert.equal(download.suggestedFilename(), "easel-pictures.zip");
  const folder = await mkdtemp(join(tmpdir(), "easel-zip-"));
  t.after(() => rm(folder, { recursive: true }));
  // Python's reader checks every CRC.
  const script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); z.extractall(sys.argv[2]); print('\\n'.join(z.namelist()))";
  const { stdout } = await promisify(execFile)("python3", ["-c", script, await download.path(), folder]);
  const names = stdout.trim().split("\n");
  assert.match(names[0], /^a-skull-\d+-2\.png$/);
  assert.match(names[1], /^a-red-apple-\d+-1\.png$/);
  assert.match(await readFile(join(folder, names[1]), "latin1"), /^\x89PNG.*a red apple/s);
});

test("a picture is copied as a picture", async (t) => {
  const page = await withPictures(t, ["a red apple"]);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.click("#actions [data-action=copy]");
  await says(page, /^Picture copied$/);
  const types = await page.evaluate(async () => (await navigator.clipboard.read()).flatMap(({ types }) => types));
  assert.ok(types.includes("image/png"), types.join());
});
