// Everybody can use the page, and it behaves as a guest in a browser should.
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { dist, draw, launch, open, says } from "./support/browser.js";
import { violations } from "./support/axe.js";
import { serve } from "./support/server.js";
import { opened } from "./support/states.js";

const focused = (page) => page.evaluate(() => document.activeElement.querySelector("img")?.alt ?? document.activeElement.textContent);

for (const colorScheme of ["light", "dark"]) {
  test(`text has a contrast of 7 to 1 in all dialogs: ${colorScheme}`, async (t) => {
    const page = await opened(t, { colorScheme });
    const enhanced = () => violations(page, { runOnly: ["color-contrast-enhanced", "color-contrast"] });
    assert.deepEqual(await enhanced(), []);
    await page.locator("#steps").fill("2");
    await page.locator("#count").fill("2");
    await draw(page, "a red apple");
    assert.deepEqual(await enhanced(), []);
    await page.selectOption("#place", "server");
    await page.fill("#server", page.site.url);
    await page.click("#generate");
    await page.waitForSelector("#problem:not([hidden])");
    assert.deepEqual(await enhanced(), []);
    await page.click("#problem-close");
    await page.selectOption("#place", "");
    for (const dialog of ["models", "words", "device"]) {
      await page.click(`#open-${dialog}`);
      await page.waitForFunction((id) => document.getElementById(id).open, dialog);
      assert.deepEqual(await enhanced(), []);
      await page.keyboard.press("Escape");
    }
    await page.goto(`${page.site.url}about.html`);
    assert.deepEqual(await enhanced(), []);
  });
}

test("with forced colours, what is chosen, how far it is and whether it is ready can be seen", async (t) => {
  const page = await opened(t, { forcedColors: "active" });
  await page.locator("#steps").fill("2");
  await draw(page, "a red apple");
  const colours = await page.evaluate(() => {
    const paint = (name) => {
      const probe = document.body.appendChild(document.createElement("i"));
      probe.style.cssText = `forced-color-adjust: none; color: ${name}`;
      const { color } = getComputedStyle(probe);
      probe.remove();
      return color;
    };
    const style = (selector) => getComputedStyle(document.querySelector(selector));
    return {
      highlight: paint("Highlight"),
      canvas: paint("Canvas"),
      ready: style("#device-dot").backgroundColor,
      pressed: style("[aria-pressed=true][data-shape]").outlineColor,
      bar: [style("#progress").backgroundColor, style("#progress").borderTopStyle],
    };
  });
  assert.deepEqual([colours.ready, colours.pressed], [colours.highlight, colours.highlight]);
  assert.deepEqual(colours.bar, [colours.canvas, "solid"]);
});

test("tiles of equal prompts have names of their own; after a deletion the focus stays near, and Undo is next to it", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("1");
  for (let k = 0; k < 3; k++) await draw(page, "a red apple");
  const names = () => page.locator("#grid img").evaluateAll((all) => all.map(({ alt }) => alt));
  assert.deepEqual(await names(), ["a red apple, 3 of 3", "a red apple, 2 of 3", "a red apple, 1 of 3"]);
  const remove = async (index) => {
    await page.locator("#grid li:not(.deleted) button").nth(index).focus();
    await page.keyboard.press("Enter");
    await page.locator("#viewer [data-action=delete]").focus();
    await page.keyboard.press("Enter");
    await page.waitForSelector("#grid .deleted");
  };
  await remove(1);
  await page.waitForFunction(() => document.activeElement.closest("#grid"));
  assert.equal(await focused(page), "a red apple, 1 of 2");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(page), "Undo");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("#grid li:not(.deleted)").length === 3);
  assert.equal(await focused(page), "a red apple, 2 of 3");
  await remove(2);
  await page.waitForFunction(() => document.activeElement.closest("#grid"));
  assert.equal(await focused(page), "a red apple, 1 of 2");
  assert.match(await page.textContent("#announce"), /^Picture deleted/);
});

test("prompts run in their own direction", async (t) => {
  const page = await opened(t);
  await page.locator("#steps").fill("1");
  await draw(page, "תפוח אדום");
  const direction = (selector) => page.$eval(selector, (element) => getComputedStyle(element).direction);
  assert.equal(await direction("#prompt"), "rtl");
  await page.locator("#grid button").first().click();
  assert.equal(await direction("#viewer-title"), "rtl");
});

test("the beginning, each kind of waiting and the end of a run are announced once", async (t) => {
  const page = await opened(t);
  await page.evaluate(() => {
    window.announced = [];
    const place = document.querySelector("#announce");
    new MutationObserver(() => announced.push(place.textContent)).observe(place, { childList: true });
  });
  await page.locator("#steps").fill("4");
  await draw(page, "a red apple");
  const announced = (await page.evaluate(() => window.announced)).filter(Boolean);
  assert.deepEqual(announced.slice(0, 3), ["Fetching the model", "Loading the model", "Drawing"]);
  assert.match(announced.at(-1), /^Drawn in/);
  assert.equal(announced.length, 4);
});

test("the page introduces itself, and its links lead somewhere", async (t) => {
  const page = await opened(t);
  const head = await page.evaluate(() => ({
    themes: [...document.querySelectorAll("meta[name=theme-color]")].map(({ content }) => content),
    touch: document.querySelector("link[rel=apple-touch-icon]")?.href,
    og: [...document.querySelectorAll("meta[property^='og:']")].map((meta) => meta.getAttribute("property")),
    links: [...document.querySelectorAll("footer a")].map(({ textContent, href }) => [textContent, href]),
  }));
  assert.equal(head.themes.length, 2);
  assert.deepEqual(head.og, ["og:type", "og:title", "og:description", "og:image"]);
  assert.deepEqual(head.links.map(([text]) => text).slice(0, 3), ["Help", "Privacy", "Source"]);
  for (const address of [head.touch, ...head.links.map(([, href]) => href)]) {
    const response = await page.request.get(address);
    assert.equal(response.status(), 200, address);
  }
  await page.goto(head.links[1][1]);
  assert.equal(await page.locator("#source + p a").first().getAttribute("href"), "https://github.com/easel-run/easel");
});

test("a first visit fetches no file twice, and the console stays empty", async (t) => {
  const site = await serve(t, dist, { dated: true });
  const context = await launch(t);
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  await page.goto(site.url);
  await page.fill("#prompt", "a red apple");
  await draw(page);
  await page.waitForFunction(async () => Boolean(await caches.match("easel/threads/easel_web_bg.wasm")));
  const paths = site.requests.filter(({ method }) => method === "GET").map(({ path }) => path);
  const twice = paths.filter((path, index) => paths.indexOf(path) !== index);
  assert.deepEqual(twice, []);
  assert.deepEqual(said, []);
});

test("a new version is announced, and used when the visitor says so", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "easel-site-"));
  t.after(() => rm(root, { recursive: true }));
  await cp(dist, root, { recursive: true });
  const site = await serve(t, root);
  const page = await open(await launch(t), site.url);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await page.waitForFunction(() => navigator.serviceWorker.controller);
  const worker = join(root, "sw.js");
  await writeFile(worker, (await readFile(worker, "utf8")).replace(/"easel-[0-9a-f]+"/, '"easel-ffffffffffff"'));
  await writeFile(join(root, "index.html"), (await readFile(join(root, "index.html"), "utf8")).replace("<title>Easel", "<title>Newer Easel"));
  await page.reload();
  await says(page, /^A new version of Easel is here/);
  assert.equal(await page.title(), "Easel");
  await page.click("#toast button");
  await page.waitForFunction(() => document.title === "Newer Easel");
});
