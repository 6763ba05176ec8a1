// What a model takes, and whether this device has it.

/** Wasm memory ends here, and about this much of it is for the work beside the weights. */
const WASM_MEMORY = 4 * 2 ** 30;
const WORK = 512 * 2 ** 20;

/** From here on, in gigabytes, the memory that a browser admits to may be any amount. */
const MOST_ADMITTED = 8;

/**
 * What a model takes, and why it cannot be loaded if it cannot.
 * @param {{ files: { size: number }[], refusal?: string }} entry @param {import("./seat.js").Seat} seat
 * @returns {Promise<{ size: number, memory: number, refusal?: string }>}
 */
export async function need({ files, refusal }, seat) {
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const memory = Math.ceil(size * 1.1) + WORK;
  const gigabytes = (/** @type {number} */ bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
  const tooMuch = (/** @type {string} */ offer) => refusal ?? `needs about ${gigabytes(memory)} of memory, and ${offer}`;
  // How much memory a graphics device has, no browser tells; how much the whole device has, only roughly.
  const { deviceMemory = Infinity } = /** @type {{ deviceMemory?: number }} */ (navigator);
  if (deviceMemory < MOST_ADMITTED && memory > 1.5 * deviceMemory * 2 ** 30) {
    return { size, memory, refusal: tooMuch(`this device has about ${deviceMemory} GB`) };
  }
  const fits = memory <= WASM_MEMORY || (await seat.taken()).backend === "webgpu";
  return { size, memory, refusal: fits ? refusal : tooMuch(`WebAssembly has ${gigabytes(WASM_MEMORY)} at most`) };
}
