// What computes, and the wasm module for it: one for the graphics device, which also computes on one thread, and one for all
// of the processor's threads.
import { threads as cores, webgpu } from "./detect.js";
import { error } from "./error.js";

/**
 * The module that computes, what it computes with, and why not with WebGPU if it does not.
 * @typedef {{ module: any, backend: "webgpu" | "wasm", threads: number, reason?: string }} Seat
 */

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
  if (threads > 1) {
    try {
      const module = await instantiate("threads", report);
      await module.initThreadPool(threads);
      return { module, backend: "wasm", threads, reason };
    } catch (thrown) {
      console.warn("Without threads:", thrown);
    }
  }
  return { module: await instantiate("wasm", report), backend: "wasm", threads: 1, reason };
}

/** @param {string} build @param {Report} report */
async function instantiate(build, report) {
  const url = new URL(`./${build}/easel_web_bg.wasm`, import.meta.url);
  const [module, response] = await Promise.all([import(`./${build}/easel_web.js`), fetch(url)]);
  // If the copy breaks off, so does the response.
  count(response.clone(), report).catch(() => {});
  await module.default({ module_or_path: response });
  return module;
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
