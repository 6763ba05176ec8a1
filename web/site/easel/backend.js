// What computes, and the wasm module for it: one for the graphics device, which also computes on one thread, and one for all
// of the processor's threads.
import { threads as cores, webgpu } from "./detect.js";
import { error } from "./error.js";

/**
 * The module that computes, what it computes with, and why not with WebGPU if it does not.
 * @typedef {{ module: any, backend: "webgpu" | "wasm", threads: number, reason?: string }} Seat
 */

/** Takes the backend that was asked for, or the best one. @param {import("./easel.d.ts").Backend} asked @returns {Promise<Seat>} */
export async function take(asked) {
  if (asked === "wasm") return processor();
  const { available, software, adapter, reason = `${adapter} is software and slower than WebAssembly` } = await webgpu();
  if (available && (!software || asked === "webgpu")) return { module: await instantiate("wasm"), backend: "webgpu", threads: 1 };
  if (asked === "webgpu") throw error("DeviceError", `WebGPU: ${reason}`);
  return processor(reason);
}

/** All threads where they may share memory, else one. @param {string} [reason] why it is not the graphics device @returns {Promise<Seat>} */
export async function processor(reason) {
  const threads = cores();
  if (threads > 1) {
    try {
      const module = await instantiate("threads");
      await module.initThreadPool(threads);
      return { module, backend: "wasm", threads, reason };
    } catch (thrown) {
      console.warn("Without threads:", thrown);
    }
  }
  return { module: await instantiate("wasm"), backend: "wasm", threads: 1, reason };
}

/** @param {string} build */
async function instantiate(build) {
  const module = await import(`./${build}/easel_web.js`);
  await module.default({ module_or_path: new URL(`./${build}/easel_web_bg.wasm`, import.meta.url) });
  return module;
}
