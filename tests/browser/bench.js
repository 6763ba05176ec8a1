// How long a visit takes: from the navigation to the first picture, with everything cached, and per picture after that.
// `npm run bench` after `cargo xtask web`; on an otherwise idle machine.
import { dist, draw, launch, open } from "./support/browser.js";
import { serve } from "./support/server.js";

const ends = [];
const test = { after: (end) => ends.unshift(end) };

for (const isolated of [true, false]) {
  const site = await serve(test, dist, { isolated });
  const context = await launch(test, { serviceWorkers: isolated ? "allow" : "block" });
  let page = await open(context, site.url);
  await draw(page, "a red apple");
  await page.close();
  const started = performance.now();
  page = await open(context, site.url);
  await draw(page, "a red apple");
  const first = performance.now() - started;
  const [line, next] = [await page.textContent("#device-line"), await draw(page)];
  console.log(`${line}: ${(first / 1000).toFixed(1)} s from the navigation to the first picture; then ${next.toLowerCase()}`);
}
for (const end of ends) await end();
