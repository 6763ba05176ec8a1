// The packages in the programs of others: each bundler, plain modules, another origin and an extension, with and without
// shared memory; and what npm would publish.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { launch, PATIENCE } from "./support/browser.js";
import { BUILDS, extension, fixtures, fromElsewhere, install, library, scratch, unpacked, viteServer } from "./support/packages.js";
import { ISOLATION, serve } from "./support/server.js";

/** What the program at this address has drawn. */
async function drawn(context, url) {
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  await page.goto(url);
  await page.waitForFunction(() => globalThis.drawn, undefined, { timeout: PATIENCE, polling: 100 }).catch((error) => {
    throw new Error([error.message, ...said].join("\n"));
  });
  const result = await page.evaluate(() => ({ ...globalThis.drawn, cores: navigator.hardwareConcurrency }));
  await page.close();
  return result;
}

/** Whether it is a picture, by all threads if memory may be shared. */
function check({ error, size, type, threads, threadsReason, cores }, isolated) {
  assert.equal(error, undefined);
  assert.deepEqual([size, type, threadsReason], [[128, 128], "image/png", undefined]);
  assert.equal(threads, isolated ? Math.min(cores, 16) : 1);
}

const names = { true: "isolated", false: "not isolated" };

test("programs of others draw with the packages", async (t) => {
  const { missing, packed } = await install(t);
  if (missing) return t.skip(missing);
  const context = await launch(t);

  await t.test("npm would publish nothing that publint or arethetypeswrong object to", async () => {
    const { publint } = await library("publint");
    const { formatMessage } = await library("publint/utils");
    const { checkPackage, createPackageFromTarballData } = await library("@arethetypeswrong/core");
    for (const [name, file] of Object.entries(packed)) {
      const pkgDir = join(fixtures, "node_modules", name);
      const manifest = JSON.parse(await readFile(join(pkgDir, "package.json"), "utf8"));
      const { messages } = await publint({ pkgDir, pack: false, strict: true });
      assert.deepEqual(messages.map((message) => formatMessage(message, manifest)), []);
      const { problems } = await checkPackage(createPackageFromTarballData(new Uint8Array(await readFile(file))));
      // Modules are all that it has: what reads none, or reads them as CommonJS, is not meant.
      const meant = ({ kind, resolutionKind }) => kind !== "CJSResolvesToESM" && !["node10", "node16-cjs"].includes(resolutionKind);
      assert.deepEqual(problems.filter(meant), []);
    }
  });

  await t.test("the packages have licences, and the modules say where they come from", async () => {
    const folder = join(fixtures, "node_modules/easel-web");
    for (const licence of ["easel-web/LICENSE-MIT", "easel-web/LICENSE-APACHE", "easel-emoji/LICENSE"]) {
      assert.match(await readFile(join(fixtures, "node_modules", licence), "utf8"), /licen[cs]e/i);
    }
    const { commit, rustc, files } = JSON.parse(await readFile(join(folder, "provenance.json"), "utf8"));
    assert.match(commit, /^[0-9a-f]{40}$/);
    assert.match(rustc, /^rustc 1\./);
    assert.ok(files.filter(({ path }) => path.endsWith(".wasm")).length >= 2);
    for (const { path, sha256 } of files) {
      assert.equal(createHash("sha256").update(await readFile(join(folder, path))).digest("hex"), sha256, path);
    }
  });

  for (const [name, build] of Object.entries(BUILDS)) {
    await t.test(name, async (t) => {
      const out = await scratch(t);
      await build(out);
      for (const isolated of [true, false]) {
        const { url } = await serve(t, out, { isolated });
        await t.test(names[isolated], async () => check(await drawn(context, url), isolated));
      }
    });
  }

  for (const isolated of [true, false]) {
    await t.test(`vite's server, ${names[isolated]}`, async (t) => {
      check(await drawn(context, await viteServer(t, isolated ? ISOLATION : {})), isolated);
    });

    await t.test(`packages on another origin, ${names[isolated]}`, async (t) => {
      const [there, out] = [await scratch(t), await scratch(t)];
      await unpacked(there);
      const elsewhere = await serve(t, there, { isolated: false });
      await fromElsewhere(out, elsewhere.url);
      const { url, requests } = await serve(t, out, { isolated });
      check(await drawn(context, url), isolated);
      assert.deepEqual(requests.map(({ path }) => path).sort(), ["/", "/app.js"]);
    });

    await t.test(`an extension, ${names[isolated]}`, async (t) => {
      const out = await scratch(t);
      const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ type: "spki", format: "der" });
      const policies = {
        cross_origin_opener_policy: { value: "same-origin" },
        cross_origin_embedder_policy: { value: "require-corp" },
      };
      await extension(out, { key: key.toString("base64"), ...(isolated ? policies : {}) });
      const args = [`--disable-extensions-except=${out}`, `--load-extension=${out}`];
      const own = await launch(t, { args, ignoreDefaultArgs: ["--disable-extensions"] });
      check(await drawn(own, `chrome-extension://${identity(key)}/index.html`), isolated);
    });
  }
});

/** What the browser calls the extension of this key: half of the key's digest, in the letters from a to p. */
function identity(key) {
  const digits = createHash("sha256").update(key).digest("hex").slice(0, 32);
  return [...digits].map((digit) => String.fromCharCode(97 + parseInt(digit, 16))).join("");
}
