// What computes, and the wasm module for it: one for the graphics device, which also computes on one thread, and one for all
// of the processor's threads.
import { threads as cores, webgpu } from "./detect.js";
import { error } from "./error.js";

/**
 * The module that computes, what it computes with, why not with WebGPU if it does not, and why on one thread if it could be more.
 * @typedef {{ module: any, backend: "webgpu" | "wasm", threads: number, reason?: string, threadsReason?: string }} Seat
 */

/** Milliseconds in which threads have to start. Where something keeps their scripts away they would never do. */
const START = 10_000;

/** @type {string | undefined} */
let folder;

/** Fetches the modules from the folders `wasm` and `threads` of this one. @param {string} [url] */
export const from = (url) => void (folder = url);

/** How much of a module has been fetched, in bytes; `of` is 0 if the server does not say. @typedef {(step: number, of: number) => void} Report */

/**
 * Takes the backend that was asked for, or the best one.
 * @param {import("./easel.d.ts").Backend} asked @param {Report} report @returns {Promise<Seat>}
 */
export async function take(asked, report) {
  if (asked === "wasm") return processor(report);
  const { available, software, adapter, reason = `${adapter} is software and slower than WebAssembly` } = await webgpu();
  if (available && (!software || asked === "webgpu")) return { module: await instantiate("wasm", report), backend: "webgpu", threads: 1 };
  if (asked === "webgpu") throw error("DeviceError", `WebGPU: ${reason}`);
  return processor(report, reason);
}

/**
 * All threads where they may share memory, else one.
 * @param {Report} report @param {string} [reason] why it is not the graphics device @returns {Promise<Seat>}
 */
export async function processor(report, reason) {
  const threads = cores();
  /** @type {string | undefined} */
  let threadsReason;
  if (threads > 1) {
    try {
      const module = await instantiate("threads", report);
      await Promise.race([module.initThreadPool(threads), late()]);
      return { module, backend: "wasm", threads, reason };
    } catch (thrown) {
      threadsReason = /** @type {Error} */ (thrown).message ?? String(thrown);
    }
  }
  return { module: await instantiate("wasm", report), backend: "wasm", threads: 1, reason, threadsReason };
}

/** @returns {Promise<never>} */
const late = () =>
  new Promise((_, reject) => setTimeout(() => reject(new Error(`the threads did not start within ${START / 1000} s`)), START));

/** @param {"wasm" | "threads"} build @param {Report} report */
async function instantiate(build, report) {
  const [module, response] = await Promise.all([script(build), fetch(binary(build))]);
  // If the copy breaks off, so does the response.
  count(response.clone(), report).catch(() => {});
  await module.default({ module_or_path: response });
  return module;
}

/** The script of a build. Bundlers follow what is written out. @param {"wasm" | "threads"} build @returns {Promise<any>} */
function script(build) {
  if (folder) return import(/* @vite-ignore */ /* webpackIgnore: true */ new URL(`${build}/easel_web.js`, folder).href);
  // @ts-ignore: wasm-bindgen writes both.
  return build === "threads" ? import("./threads/easel_web.js") : import("./wasm/easel_web.js");
}

/** @param {"wasm" | "threads"} build */
function binary(build) {
  if (folder) return new URL(`${build}/easel_web_bg.wasm`, folder);
  return build === "threads" ? new URL("./threads/easel_web_bg.wasm", import.meta.url) : new URL("./wasm/easel_web_bg.wasm", import.meta.url);
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
