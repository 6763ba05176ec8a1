// Easel's WebAssembly build against onnxruntime-web's on the same graphs, in the same page of headless Chromium:
//
//     node bench.js FOLDER [NAME ...] [--threads N] [--runs N]
//
// FOLDER is the output of export.py. Easel and onnxruntime-web each have a worker with its threads; they take turns. A line
// per graph: medians, their ratio, and the largest difference of the results relative to the largest number in them.
import { readFile } from "node:fs/promises";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { launch } from "../../tests/browser/support/browser.js";
import { serve } from "../../tests/browser/support/server.js";

/** The largest difference from rounding: the two implementations sum in different orders. */
const SAME = 1e-3;

const root = fileURLToPath(new URL("../..", import.meta.url));
const options = { threads: { type: "string", default: "2" }, runs: { type: "string", default: "3" } };
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const [threads, runs] = [Number(values.threads), Number(values.runs)];
const [folder, ...names] = positionals;
const all = JSON.parse(await readFile(resolve(folder, "work.json"), "utf8"));

/** In the page: loads one graph in both workers and lets them run in turn. */
async function compare({ work, threads, runs, folder }) {
  const open = (script) => {
    const worker = new Worker(script, { type: "module" });
    const call = (message) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => (data.error ? reject(new Error(`${script}: ${data.error}`)) : resolve(data));
        worker.onerror = ({ message }) => reject(new Error(`${script}: ${message}`));
        worker.postMessage(message);
      });
    return { call, end: () => worker.terminate() };
  };
  const inputs = {};
  for (const [name, shape] of Object.entries(work.shapes)) {
    const count = shape.reduce((a, b) => a * b);
    inputs[name] = Float32Array.from({ length: count }, (_, i) => 1.7 * Math.sin(i * 0.37 + (i % 1013)));
  }
  const workers = [open("/benches/onnxruntime-web/easel.js"), open("/benches/onnxruntime-web/rival.js")];
  for (const worker of workers) await worker.call({ work, threads, folder });
  const times = [[], []];
  let results;
  for (let round = 0; round <= runs; round++) {
    results = [];
    for (const worker of workers) results.push(await worker.call(inputs));
    // The first round is a warm-up.
    if (round > 0) results.forEach(({ ms }, i) => times[i].push(ms));
  }
  for (const worker of workers) worker.end();
  const [ours, theirs] = results.map(({ out }) => out);
  let [error, largest] = [ours.length === theirs.length ? 0 : Infinity, 0];
  for (let i = 0; i < ours.length; i++) {
    error = Math.max(error, Math.abs(ours[i] - theirs[i]));
    largest = Math.max(largest, Math.abs(theirs[i]));
  }
  return { times, error: error / largest };
}

const median = (times) => times.toSorted((a, b) => a - b)[times.length >> 1];

const ends = [];
const test = { after: (end) => ends.unshift(end) };
try {
  const site = await serve(test, root);
  const context = await launch(test);
  for (const work of all.filter(({ name }) => names.length === 0 || names.includes(name))) {
    const page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && !message.location().url.endsWith("favicon.ico") && console.error(message.text()));
    await page.goto(`${site.url}benches/onnxruntime-web/index.html`);
    const { times, error } = await page.evaluate(compare, { work, threads, runs, folder: `/${relative(root, resolve(folder))}` });
    await page.close();
    const [easel, ort] = times.map(median);
    console.log(JSON.stringify({ name: work.name, threads, runs, easel_ms: easel, onnxruntime_web_ms: ort, ratio: easel / ort, error }));
    if (!(error < SAME)) throw new Error(`${work.name}: the results differ by ${error}`);
  }
} finally {
  for (const end of ends) await end();
}
