// The kernels in Chrome's dialect of WGSL, and the runtime underneath them on Chrome's device.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch } from "./support/browser.js";
import { checks, serve } from "./support/server.js";

/** Runs in a page that has the checks; what it and the checks print as an error fails the test. */
async function inPage(t, run, argument) {
  const site = await serve(t, checks);
  const page = await (await launch(t)).newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${site.url}browser.js`);
  // A panic stops the module, whose promise is then never kept.
  const died = new Promise((_, reject) => page.on("pageerror", reject));
  const result = page.evaluate(`(async () => {
    const checks = await import("/browser.js");
    await checks.default({ module_or_path: "/browser_bg.wasm" });
    return (${run})(checks, ${JSON.stringify(argument)});
  })()`);
  return Promise.race([result, died]).catch((error) => assert.fail([error.message, ...errors].join("\n")));
}

test("the runtime records, replays, reads, streams, and notices errors and loss", async (t) => {
  t.diagnostic(await inPage(t, (checks) => checks.runtime()));
});

/** Rows whose many variants SwiftShader compiles for minutes; `npm run conformance` runs them, too. */
const LONG = /every_width|every_tile|every_geometry|is_cut/;

test("every op computes what it should", async (t) => {
  const run = (checks, long) => checks.conformance(false, (row) => !new RegExp(long).test(row));
  const rows = await inPage(t, run, LONG.source);
  assert.ok(rows > 20, `${rows} rows`);
});

for (const [device, guaranteedOnly] of [["the device", false], ["a device with what WebGPU guarantees", true]]) {
  test(`every variant of every kernel for ${device} compiles`, async (t) => {
    const run = async (checks, guaranteedOnly) => {
      const variants = await checks.variants(guaranteedOnly);
      const adapter = await navigator.gpu.requestAdapter();
      const wanted = ["shader-f16", "subgroups"].filter((name) => !guaranteedOnly && adapter.features.has(name));
      const device = await adapter.requestDevice({ requiredFeatures: wanted });
      const compile = async ([name, code]) => {
        const module = device.createShaderModule({ code });
        const { messages } = await module.getCompilationInfo();
        return messages.map(({ type, lineNum, message }) => `${name}, line ${lineNum}: ${type}: ${message}`);
      };
      return { count: variants.length, wanted, wrong: (await Promise.all(variants.map(compile))).flat() };
    };
    const { count, wanted, wrong } = await inPage(t, run, guaranteedOnly);
    assert.deepEqual(wrong, []);
    assert.ok(count > 100, `${count} variants`);
    t.diagnostic(`${count} variants, ${wanted.join(" and ") || "no optional feature"}`);
  });
}
