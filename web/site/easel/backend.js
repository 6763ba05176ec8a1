// The backend and its wasm module: one build for the graphics device, which also computes on one thread, and one for all
// threads of the processor. Two more files are fetched when they are needed: the module of the HTTP interface, and CLIP's
// vocabulary.
import { threads as cores, webgpu } from "./detect.js";
import { error } from "./error.js";
import { ask } from "./sources.js";
import { startThreads } from "./threads.js";

/**
 * The module that computes, what it computes with, why not with WebGPU if it does not, and why on one thread if it could be more.
 * @typedef {{ module: any, backend: "webgpu" | "wasm", threads: number, reason?: string, threadsReason?: string }} Taken
 * @typedef {{ script: URL, binary: URL }} Files the files of a build
 * @typedef {{ wasm(): Files, threads(): Files }} Builds a module's build for the graphics device or one thread, and that with threads
 */

/** Milliseconds in which threads have to start. Where something keeps their scripts away they would never do. */
const START = 10_000;

/** @type {string | undefined} */
let folder;

/** Fetches the modules from this folder, which has one for each build. @param {string} [url] */
export const from = (url) => void (folder = url);

/** How much of a module has been fetched, in bytes; `of` is 0 if the server does not say. @typedef {(step: number, of: number) => void} Report */

/**
 * Starts the requested backend, or the best one.
 * @param {Builds} builds @param {import("./easel.d.ts").Backend} asked @param {Report} report @returns {Promise<Taken>}
 */
export async function take(builds, asked, report) {
  if (asked === "wasm") return processor(builds, report);
  const { available, software, adapter, reason = `${adapter} is software and slower than WebAssembly` } = await webgpu();
  if (available && (!software || asked === "webgpu")) return { module: await instantiate(builds.wasm(), report), backend: "webgpu", threads: 1 };
  if (asked === "webgpu") throw error("DeviceError", `WebGPU: ${reason}`);
  return processor(builds, report, reason);
}

/**
 * Starts all threads if they can share memory, otherwise one.
 * @param {Builds} builds @param {Report} report @param {string} [reason] why it is not the graphics device @returns {Promise<Taken>}
 */
export async function processor(builds, report, reason) {
  const threads = cores();
  /** @type {string | undefined} */
  let threadsReason;
  if (threads > 1) {
    try {
      const module = await instantiate(builds.threads(), report);
      await startThreads(module, builds.threads().script.href, threads, START);
      return { module, backend: "wasm", threads, reason };
    } catch (thrown) {
      threadsReason = /** @type {Error} */ (thrown).message ?? String(thrown);
    }
  }
  return { module: await instantiate(builds.wasm(), report), backend: "wasm", threads: 1, reason, threadsReason };
}

/** The module of the HTTP interface. @returns {Promise<any>} */
export function httpInterface() {
  const script = new URL("./interface/easel_web.js", import.meta.url);
  const binary = new URL("./interface/easel_web_bg.wasm", import.meta.url);
  return instantiate(files("interface", script, binary), () => {});
}

/** The vocabulary of models that bring none. @returns {Promise<Uint8Array>} */
export async function clipVocabulary() {
  const url = folder ? new URL("clip-merges.zlib", folder) : new URL("./clip-merges.zlib", import.meta.url);
  return new Uint8Array(await (await ask(url, {})).arrayBuffer());
}

/** T5's vocabulary, a `tokenizer.json`, which single files leave out. @param {AbortSignal} signal */
export async function t5Vocabulary(signal) {
  const url = folder ? new URL("t5-tokenizer.json.zlib", folder) : new URL("./t5-tokenizer.json.zlib", import.meta.url);
  const { body } = await ask(url, { signal });
  const whole = /** @type {ReadableStream<any>} */ (body).pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(whole).arrayBuffer());
}

/** @param {Files} files @param {Report} report */
async function instantiate({ script, binary }, report) {
  const [module, response] = await Promise.all([import(/* @vite-ignore */ /* webpackIgnore: true */ script.href), ask(binary, {})]);
  // If the copy breaks off, so does the response.
  count(response.clone(), report).catch(() => {});
  await module.default({ module_or_path: response });
  return module;
}

/**
 * The files of a build: these, unless they were moved. Bundlers copy what is written out where this is called; the script is
 * not theirs to change, since each thread loads it, too.
 * @param {string} build the path of its folder @param {URL} script @param {URL} binary @returns {Files}
 */
export function files(build, script, binary) {
  if (!folder) return { script, binary };
  return { script: new URL(`${build}/easel_web.js`, folder), binary: new URL(`${build}/easel_web_bg.wasm`, folder) };
}

/**
 * Counts the bytes of a response as they come, on a copy: browsers keep compiled code for responses of the network alone.
 * @param {Response} response @param {Report} report
 */
async function count(response, report) {
  if (!response.ok || !response.body) return;
  const length = Number(response.headers.get("content-length"));
  const reader = response.body.getReader();
  let step = 0;
  report(step, length);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    step += value.length;
    // The length is that of what was sent, which may be compressed; what arrives here is not.
    report(Math.min(step, length), length);
  }
}
