// The kernels in Chrome's dialect of WGSL, and the runtime underneath them on Chrome's device.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch } from "./support/browser.js";
import { serve } from "./support/server.js";

const checks = process.env.EASEL_CHECKS ?? new URL("../../target/browser-checks", import.meta.url).pathname;

/** Runs in a page that has the checks; what it and the checks print as an error fails the test. */
async function inPage(t, run, argument) {
  const site = await serve(t, checks);
  const page = await (await launch(t)).newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${site.url}browser.js`);
  const result = page.evaluate(`(async () => {
    const checks = await import("/browser.js");
    await checks.default();
    return (${run})(checks, ${JSON.stringify(argument)});
  })()`);
  return result.catch((error) => assert.fail([error.message, ...errors].join("\n")));
}

test("the runtime records, replays, reads, streams, and notices errors and loss", async (t) => {
  t.diagnostic(await inPage(t, (checks) => checks.runtime()));
});

for (const [device, guaranteedOnly] of [["the device", false], ["a device with what WebGPU guarantees", true]]) {
  test(`every op computes what it should on ${device}`, async (t) => {
    const run = async (checks, guaranteedOnly) => {
      const rows = [];
      return { count: await checks.conformance(guaranteedOnly, (row) => rows.push(row)), rows };
    };
    const { count, rows } = await inPage(t, run, guaranteedOnly);
    assert.ok(count > 20 && count === rows.length, rows.join("; "));
  });

  test(`every variant of every kernel for ${device} compiles`, async (t) => {
    const run = async (checks, guaranteedOnly) => {
      const variants = await checks.variants(guaranteedOnly);
      const adapter = await navigator.gpu.requestAdapter();
      const wanted = ["shader-f16", "subgroups"].filter((name) => !guaranteedOnly && adapter.features.has(name));
      const device = await adapter.requestDevice({ requiredFeatures: wanted });
      const compile = async ([name, code]) => {
        const module = device.createShaderModule({ code });
        const { messages } = await module.getCompilationInfo();
        const said = messages.map(({ type, lineNum, message }) => `${type} in line ${lineNum}: ${message}`);
        const failed = (error) => said.push(error.message);
        if (said.length === 0) await device.createComputePipelineAsync({ layout: "auto", compute: { module } }).catch(failed);
        return said.map((text) => `${name}: ${text}`);
      };
      device.addEventListener("uncapturederror", () => {});
      return { count: variants.length, wanted, wrong: (await Promise.all(variants.map(compile))).flat() };
    };
    const { count, wanted, wrong } = await inPage(t, run, guaranteedOnly);
    assert.deepEqual(wrong, []);
    assert.ok(count > 100, `${count} variants`);
    t.diagnostic(`${count} variants, ${wanted.join(" and ") || "no optional feature"}`);
  });
}
