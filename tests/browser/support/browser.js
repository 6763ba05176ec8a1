// Chromium for the tests.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** The folder of the built site. */
export const dist = process.env.EASEL_DIST ?? new URL("../../../web/dist", import.meta.url).pathname;

/** How long a picture may take on a busy machine. */
export const PATIENCE = 90_000;

/** A browser with a profile of its own, so that storage is real; it ends with the test. */
export async function launch(test, { args = [], ...options } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "easel-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...FLAGS, ...args],
    viewport: { width: 1280, height: 860 },
    ...options,
  });
  context.setDefaultTimeout(30_000);
  test.after(async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  });
  return context;
}

/** A page at this address; what it reports as an error fails the test. */
export async function open(context, url) {
  const page = await context.newPage();
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) page.errors.push(message.text());
  });
  await page.goto(url);
  await page.waitForFunction(() => document.getElementById("device-line")?.textContent !== "Looking at your device…");
  return page;
}

/** Draws with what is in the form and waits for the end; returns what the page says then. */
export async function draw(page, prompt, timeout = PATIENCE) {
  if (prompt !== undefined) await page.fill("#prompt", prompt);
  const before = await page.locator("#picture").getAttribute("src");
  await page.click("#generate");
  await page.waitForFunction((before) => document.querySelector("#picture").src !== (before ?? "") || !document.querySelector("#problem").hidden, before, { timeout, polling: 100 });
  await rest(page, timeout);
  const [phase, problem] = [await page.textContent("#phase"), await page.textContent("#problem")];
  const after = await page.locator("#picture").getAttribute("src");
  if (before === after) throw new Error(`nothing was drawn: ${phase}; ${problem}`);
  return phase;
}

/** Waits until nothing is being drawn or fetched. */
export const rest = (page, timeout = PATIENCE) =>
  page.waitForFunction(() => !document.querySelector("#generate").hasAttribute("data-running"), undefined, { timeout, polling: 100 });

/** The pixels of the picture on the stage, four bytes each. */
export function pixels(page, selector = "#picture") {
  return page.$eval(selector, (image) => {
    const { naturalWidth: width, naturalHeight: height } = image;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(image, 0, 0);
    return { width, height, data: [...context.getImageData(0, 0, width, height).data] };
  });
}

/** Drops a file of pixels on the page. */
export async function drop(page, file) {
  await dropBytes(page, file.pathname.split("/").at(-1), await readFile(file), "image/png");
}

/** Drops a file with this content on the page, or pastes it. */
export async function dropBytes(page, name, content, type = "", paste = false) {
  await page.evaluate(([name, text, type, paste]) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type }));
    if (paste) return document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
    for (const kind of ["dragenter", "dragover", "drop"]) {
      document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
    }
  }, [name, Buffer.from(content).toString("base64"), type, paste]);
}

/** Waits until the page tells the visitor this: in a message, below the prompt, or as a problem on the stage. */
export const says = (page, pattern) =>
  page.waitForFunction((pattern) => {
    const places = ["#toast", "#note", "#problem:not([hidden]) #problem-words", "#problem:not([hidden]) #problem-detail"];
    return places.some((place) => new RegExp(pattern).test(document.querySelector(place)?.textContent ?? ""));
  }, pattern.source);

/** A telephone. */
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
