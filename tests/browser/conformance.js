// The conformance table on the browser's device, a line per row: `npm run conformance` after `cargo xtask e2e`. On SwiftShader
// it takes many minutes, which is why it is none of the tests. `guaranteed` asks for what WebGPU guarantees and no more.
import { launch } from "./support/browser.js";
import { checks, serve } from "./support/server.js";

const ends = [];
const test = { after: (end) => ends.unshift(end) };
const guaranteed = process.argv[2] === "guaranteed";

const site = await serve(test, checks);
const page = await (await launch(test)).newPage();
page.on("console", (message) => console.log(message.text()));
await page.goto(`${site.url}browser.js`);
// A row that fails stops the module, whose promise is then never kept.
const died = new Promise((_, reject) => page.on("pageerror", reject));
const run = page.evaluate(async (guaranteed) => {
  const { default: start, conformance } = await import("/browser.js");
  await start({ module_or_path: "/browser_bg.wasm" });
  let [row, began] = ["", 0];
  const tell = () => row && console.log(`${row}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  const rows = await conformance(guaranteed, (next) => (tell(), ([row, began] = [next, performance.now()]), true));
  tell();
  return rows;
}, guaranteed);
const rows = await Promise.race([run, died]).catch((error) => error.message);
console.log(typeof rows === "number" ? `${rows} rows passed` : `failed: ${rows}`);
process.exitCode = typeof rows === "number" ? 0 : 1;
for (const end of ends) await end();
