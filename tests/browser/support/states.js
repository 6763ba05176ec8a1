// What the page is doing, for tests that have to wait for a moment of a run.
import { PATIENCE, dist, launch, open } from "./browser.js";
import { serve } from "./server.js";

/** A page of the built site. */
export async function opened(t, options) {
  const site = await serve(t, dist);
  const page = await open(await launch(t, options), site.url);
  return Object.assign(page, { site });
}

/** Waits until the page says this about its progress. */
export const until = (page, pattern) =>
  page.waitForFunction((pattern) => new RegExp(pattern).test(document.querySelector("#phase").textContent), pattern.source, { timeout: PATIENCE, polling: 50 });

/** Whether all of this is within the window, and nothing lies over its middle. */
export const inSight = (page, selector) =>
  page.$eval(selector, (element) => {
    const { top, bottom, left, width, height } = element.getBoundingClientRect();
    const above = document.elementFromPoint(left + width / 2, top + height / 2);
    return top >= 0 && bottom <= innerHeight + 1 && (element === above || element.contains(above));
  });

/** For a worker: a device with room for models of some gigabytes, whichever the tests run on. */
export const ROOMY = `
  Object.defineProperty(WorkerNavigator.prototype, "deviceMemory", { value: 8, configurable: true });
  StorageManager.prototype.estimate = async () => ({ usage: 0, quota: 1e11 });`;

/** A window of 1280 by 720 pixels at a zoom of 200 %. */
export const ZOOMED = { viewport: { width: 640, height: 360 }, deviceScaleFactor: 2 };
