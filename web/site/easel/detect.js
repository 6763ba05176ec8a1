// What the browser and the device can do.

/** A function that returns the zero vector: valid only where wasm has simd128. */
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);

/** Adapters that are programs on the processor. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|basic render/i;

/** Threads that the multithreaded build would use: one per core, within reason. */
export function threads() {
  const shared = globalThis.crossOriginIsolated && typeof SharedArrayBuffer === "function";
  return shared ? Math.min(navigator.hardwareConcurrency || 1, 16) : 1;
}

/** @returns {Promise<import("./easel.d.ts").Capabilities>} */
export async function detect() {
  const gigabytes = /** @type {{ deviceMemory?: number }} */ (navigator).deviceMemory;
  return {
    webgpu: await webgpu(),
    simd: WebAssembly.validate(SIMD),
    crossOriginIsolated: Boolean(globalThis.crossOriginIsolated),
    threads: threads(),
    deviceMemory: gigabytes && gigabytes * 2 ** 30,
    storage: await storage(),
  };
}

/** The adapter that would compute. @returns {Promise<import("./easel.d.ts").Capabilities["webgpu"]>} */
export async function webgpu() {
  const gpu = /** @type {{ gpu?: any }} */ (navigator).gpu;
  if (!gpu) return { available: false, reason: "this browser has no WebGPU" };
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) return { available: false, reason: "no graphics adapter that WebGPU can use" };
    const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
    const name = description || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
    return {
      available: true,
      adapter: name,
      software: Boolean(isFallbackAdapter) || SOFTWARE.test(`${name} ${architecture}`),
      f16: adapter.features.has("shader-f16"),
      maxBufferSize: adapter.limits.maxBufferSize,
    };
  } catch (error) {
    return { available: false, reason: String(error) };
  }
}

async function storage() {
  const none = { available: false, usage: 0, quota: 0, persisted: false };
  if (!navigator.storage?.getDirectory) return none;
  try {
    await navigator.storage.getDirectory();
    const { usage = 0, quota = 0 } = await navigator.storage.estimate();
    return { available: true, usage, quota, persisted: await navigator.storage.persisted() };
  } catch {
    return none;
  }
}
