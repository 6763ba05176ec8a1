// The package as a program sees it: errors, progress, events, and places that its files may be in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { dist, launch } from "./support/browser.js";
import { serve } from "./support/server.js";
import { opened } from "./support/states.js";

/** Runs in a page with an `easel` that has the model. */
const inPage = (page, run) => {
  page.setDefaultTimeout(90_000);
  return page.evaluate(`(async () => {
    const { Easel, EaselError } = await import("./easel/easel.js");
    return (${run})({ Easel, EaselError });
  })()`);
};

test("errors have a code, and an aborted signal's own reason is thrown", async (t) => {
  const got = await inPage(await opened(t), async ({ Easel, EaselError }) => {
    const easel = new Easel();
    await easel.load("easel-emoji");
    const thrown = (promise) => promise.then(() => "nothing", (error) => error);
    const wrong = await thrown(easel.generate({ prompt: "a", guidance_scale: 4 }));
    const late = await thrown(easel.generate({ prompt: "a", steps: 500, signal: AbortSignal.timeout(300) }));
    const controller = new AbortController();
    const mine = new Error("mine");
    const stopped = thrown(easel.generate({ prompt: "a", steps: 500, signal: controller.signal }));
    controller.abort(mine);
    const gone = await thrown(new Easel().load("no-such-model"));
    return {
      wrong: [wrong instanceof EaselError, wrong.code, wrong.message],
      late: late.name,
      same: (await stopped) === mine,
      gone: [gone instanceof EaselError, gone.code],
    };
  });
  assert.deepEqual(got.wrong, [true, "InvalidRequest", "options: there is no guidance_scale; the nearest is guidanceScale"]);
  assert.deepEqual([got.late, got.same], ["TimeoutError", true]);
  assert.deepEqual(got.gone, [true, "NetworkError"]);
});

test("progress has one number that grows to 1, and events can be iterated, which cancels when it is left", async (t) => {
  const { loading, drawing, kinds, next } = await inPage(await opened(t), async ({ Easel }) => {
    const easel = new Easel();
    const [loading, drawing, kinds] = [[], [], []];
    await easel.load("easel-emoji", { onProgress: ({ overall }) => loading.push(overall) });
    for await (const event of easel.events({ prompt: "a red apple", steps: 4 })) {
      kinds.push(event.type);
      if (event.type === "progress") drawing.push(event.progress.overall);
    }
    for await (const { type } of easel.events({ prompt: "a red apple", steps: 500 })) if (type === "preview") break;
    const started = performance.now();
    await easel.generate({ prompt: "a red apple", steps: 1 });
    return { loading, drawing, kinds, next: performance.now() - started };
  });
  for (const numbers of [loading, drawing]) {
    assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
    assert.ok(numbers[0] >= 0 && numbers.at(-1) > 0.95 && numbers.at(-1) <= 1, numbers.join());
  }
  assert.equal(kinds.at(-1), "picture");
  assert.ok(kinds.includes("preview"));
  assert.ok(next < 10_000, `the picture after one that was left took ${next} ms`);
});

test("threads that never start are given up for one thread, with the reason", async (t) => {
  const page = await opened(t, { serviceWorkers: "block" });
  const load = () => inPage(page, ({ Easel }) => new Easel({ backend: "wasm" }).load("easel-emoji"));
  page.site.faults.instead["/easel/thread.js"] = "// Hears nothing.";
  const silent = await load();
  assert.deepEqual([silent.threads, silent.threadsReason], [1, "the threads did not start within 10 s"]);
  page.site.faults.instead["/easel/thread.js"] = null;
  const missing = await load();
  assert.deepEqual([missing.threads, missing.threadsReason], [1, "a thread failed: its script could not be loaded"]);
});

test("the HTTP interface and CLIP's vocabulary are fetched by those who need them", async (t) => {
  const page = await opened(t, { serviceWorkers: "block" });
  const asked = () => page.site.requests.map(({ path }) => path).filter((path) => /interface|clip-merges/.test(path));
  const status = await inPage(page, async ({ Easel }) => {
    globalThis.easel = new Easel({ backend: "wasm" });
    await easel.load("easel-emoji");
    await easel.generate({ prompt: "a red apple", steps: 1 });
    return easel.loaded.name;
  });
  assert.deepEqual([status, asked()], ["easel-emoji", []]);
  const samplers = await page.evaluate(async () => (await easel.fetch("/sdapi/v1/samplers")).json());
  assert.ok(samplers.some(({ name }) => name === "DPM++ 2M"), JSON.stringify(samplers));
  assert.deepEqual(asked().sort(), ["/easel/interface/easel_web.js", "/easel/interface/easel_web_bg.wasm"]);
});

test("a model package is loaded like a model of the page, and what is no model is refused", async (t) => {
  const got = await inPage(await opened(t), async ({ Easel }) => {
    const { default: emoji } = await import("./models/easel-emoji/index.js");
    const easel = new Easel({ backend: "wasm" });
    const plan = await easel.plan(emoji);
    const { defaults } = await easel.load(emoji);
    const wrong = [];
    for (const model of [{ name: "m", files: [] }, { name: "m", files: [{ path: "a.safetensors" }] }]) {
      wrong.push(await easel.load(model).then(() => "loaded", ({ code, message }) => `${code}: ${message}`));
    }
    return { plan: [plan.name, plan.size > 13e6, plan.refusal], steps: defaults.steps, wrong };
  });
  assert.deepEqual(got.plan, ["easel-emoji", true, undefined]);
  assert.equal(got.steps, 20);
  const refused = "InvalidRequest: model: expected a name and files, each with path, size and url, or as [path, File]";
  assert.deepEqual(got.wrong, [refused, refused]);
});

test("worker and modules may come from another origin", async (t) => {
  const [cdn, site] = [await serve(t, dist), await serve(t, dist, { isolated: false })];
  // A page without a policy of its own: Easel's lets no script in from elsewhere.
  const page = await (await launch(t)).newPage();
  await page.goto(`${site.url}example.html`);
  const picture = await page.evaluate(async (cdn) => {
    const { Easel } = await import(`${cdn}easel/easel.js`);
    const easel = new Easel({ workerUrl: `${cdn}easel/worker.js`, wasmUrl: `${cdn}easel`, base: `${cdn}models` });
    await easel.load("easel-emoji");
    const { width } = await easel.generate({ prompt: "a red apple", steps: 1 });
    return width;
  }, cdn.url);
  assert.equal(picture, 128);
  assert.ok(cdn.requests.some(({ path }) => path.endsWith("easel_web_bg.wasm")));
  assert.ok(!site.requests.some(({ path }) => path.endsWith("worker.js")));
});

test("it is an image model of the AI SDK", async (t) => {
  const got = await inPage(await opened(t), async ({ Easel }) => {
    const { imageModel } = await import("./easel/ai.js");
    const easel = new Easel();
    await easel.load("easel-emoji");
    const model = imageModel(easel);
    const { images, response } = await model.doGenerate({ prompt: "a skull", n: 2, aspectRatio: "16:9", seed: 7, providerOptions: { easel: { steps: 1 } } });
    const sizes = [];
    for (const bytes of images) {
      const { width, height } = await createImageBitmap(new Blob([bytes]));
      sizes.push([width, height]);
    }
    const wide = await model.doGenerate({ prompt: "a skull", n: 1, size: "64x128", providerOptions: { easel: { steps: 1 } } });
    const { width, height } = await createImageBitmap(new Blob([wide.images[0]]));
    return { version: model.specificationVersion, id: response.modelId, sizes, tall: [width, height] };
  });
  assert.deepEqual(got, { version: "v2", id: "easel-emoji", sizes: [[168, 96], [168, 96]], tall: [64, 128] });
});
