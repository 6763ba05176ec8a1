// The HTTP interface inside the worker: the same routes and shapes as a server's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { dist, launch, open } from "./support/browser.js";
import { serve } from "./support/server.js";

/** Runs in the page with an `easel` that has the model; `ask` is a request that says status, type and body. */
async function inPage(t, run) {
  const site = await serve(t, dist);
  const page = await open(await launch(t), site.url);
  page.setDefaultTimeout(90_000);
  return page.evaluate(`(async () => {
    const { Easel, RemoteEasel } = await import("./easel/easel.js");
    const easel = new Easel();
    await easel.load("easel-emoji");
    const ask = async (path, body, method = body ? "POST" : "GET") => {
      const options = { method, headers: { "content-type": "application/json", accept: "application/json" }, body: body && JSON.stringify(body) };
      const response = await easel.fetch("http://worker" + path, options);
      return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
    };
    return (${run})({ easel, RemoteEasel, ask });
  })()`);
}

test("a run: started, followed, fetched", async (t) => {
  const { health, started, status, picture } = await inPage(t, async ({ easel, ask }) => {
    const health = await ask("/health");
    const started = await ask("/pipeline/run", { prompt: "a red apple", width: 128, height: 128, num_inference_steps: 4, seed: 7 });
    let status;
    do status = JSON.parse((await ask("/pipeline/status")).text);
    while (!status.completed && !(await new Promise((next) => setTimeout(next, 100))));
    const picture = await easel.fetch("/pipeline/image");
    const bytes = new Uint8Array(await picture.arrayBuffer());
    return { health, started, status, picture: [picture.status, picture.headers.get("content-type"), [...bytes.slice(1, 4)]] };
  });
  assert.deepEqual([health.status, JSON.parse(health.text).status], [200, "healthy"]);
  assert.equal(JSON.parse(started.text).message, "Pipeline execution started in background.");
  assert.deepEqual([status.running, status.completed], [false, true]);
  assert.deepEqual(picture, [200, "image/png", [...Buffer.from("PNG")]]);
});

test("what is wrong has the status and the words of a server", async (t) => {
  const [gone, field] = await inPage(t, async ({ ask }) => [await ask("/status/none"), await ask("/generate", { prompt: "a", steps: 0 })]);
  assert.deepEqual([gone.status, JSON.parse(gone.text)], [404, { detail: "Task not found" }]);
  assert.equal(field.status, 422);
  assert.match(field.text, /steps/);
});

test("what speaks to servers draws with the worker, with events and previews, and cancels", async (t) => {
  const { size, steps, previews, cancelled, tasks } = await inPage(t, async ({ easel, RemoteEasel, ask }) => {
    const remote = new RemoteEasel("http://worker", (url, options) => easel.fetch(url, options));
    await remote.load();
    const seen = { steps: [], previews: 0 };
    const options = { prompt: "a red apple", width: 128, height: 128, steps: 6, guidanceScale: 4, seed: 7 };
    const { width, height } = await remote.generate({ ...options, onProgress: ({ step }) => seen.steps.push(step), onPreview: () => seen.previews++ });
    const controller = new AbortController();
    const onProgress = ({ step }) => step > 1 && controller.abort();
    const cancelled = await remote.generate({ ...options, steps: 60, signal: controller.signal, onProgress }).catch((error) => error.name);
    await new Promise((next) => setTimeout(next, 500));
    const { tasks } = JSON.parse((await ask("/tasks")).text);
    return { size: [width, height], ...seen, cancelled, tasks: Object.values(tasks).map(({ status }) => status).sort() };
  });
  assert.deepEqual(size, [128, 128]);
  assert.ok(steps.includes(3) && previews > 2, `${steps}; ${previews} previews`);
  assert.equal(cancelled, "AbortError");
  assert.deepEqual(tasks, ["cancelled", "completed"]);
});

test("a client that leaves cancels its task, waiting or reading events", async (t) => {
  const { names, statuses } = await inPage(t, async ({ easel, ask }) => {
    const leave = async (stream) => {
      const controller = new AbortController();
      const body = JSON.stringify({ prompt: "a red apple", steps: 60, stream, partial_images: 3 });
      const options = { method: "POST", headers: { "content-type": "application/json" }, body, signal: controller.signal };
      // `text` would hide the stream's own error.
      const read = (answer) => answer.body.pipeTo(new WritableStream());
      const asked = easel.fetch("http://worker/v1/images/generations", options).then(read).catch(({ name }) => name);
      const running = async () => JSON.parse((await ask("/tasks?status=processing")).text).total_tasks;
      while (!(await running())) await new Promise((next) => setTimeout(next, 20));
      controller.abort();
      const name = await asked;
      while (await running()) await new Promise((next) => setTimeout(next, 20));
      return name;
    };
    const names = [await leave(false), await leave(true)];
    const { tasks } = JSON.parse((await ask("/tasks")).text);
    return { names, statuses: Object.values(tasks).map(({ status }) => status) };
  });
  assert.deepEqual(names, ["AbortError", "AbortError"]);
  assert.deepEqual(statuses, ["cancelled", "cancelled"]);
});

test("a call that waits for another is cancelled at once, and what is wrong in a call is named", async (t) => {
  const { waited, first, errors } = await inPage(t, async ({ easel }) => {
    const controller = new AbortController();
    let done = false;
    const first = easel.generate({ prompt: "a red apple", steps: 30 }).finally(() => (done = true));
    const second = easel.generate({ prompt: "a cat", signal: controller.signal }).catch(({ name }) => [name, done]);
    controller.abort();
    const waited = await second;
    const errors = [];
    const text = new Blob(["no picture"], { type: "text/plain" });
    for (const options of [{}, { prompt: "a", seed: -1 }, { prompt: "a", width: 100 }, { prompt: "a", initImage: text }]) {
      errors.push(await easel.generate(options).catch(({ name, message }) => `${name}: ${message}`));
    }
    return { waited, first: (await first).width, errors };
  });
  assert.deepEqual([waited, first], [["AbortError", false], 128]);
  assert.deepEqual(errors, [
    "InvalidRequest: options: missing field `prompt`",
    "InvalidRequest: options: seed: invalid type: floating point `-1.0`, expected u64",
    "InvalidRequest: width: must be a multiple of 8 between 16 and 4096, got 100",
    "InvalidRequest: initImage: no picture that this browser can read",
  ]);
});
