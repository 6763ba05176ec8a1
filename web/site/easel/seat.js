// What computes in a worker: a module and its device, found out at the first call that needs it, and again if that failed.
import { processor, take } from "./backend.js";
import { fetching } from "./calls.js";

/** @typedef {import("./backend.js").Taken} Taken */

export class Seat {
  /** What the page asked for. @type {import("./easel.d.ts").Backend} */
  asked = "auto";
  #builds;
  /** @type {Promise<Taken> | undefined} */
  #taken;

  /** @param {import("./backend.js").Builds} builds the module with and without threads */
  constructor(builds) {
    this.#builds = builds;
  }

  /** @returns {Promise<Taken>} */
  taken() {
    this.#taken ??= take(this.#builds, this.asked, fetching).catch((thrown) => {
      this.#taken = undefined;
      throw thrown;
    });
    return this.#taken;
  }

  async module() {
    return (await this.taken()).module;
  }

  /**
   * Opens a model on what computes. Where the graphics device cannot be opened and nobody insisted on it, that is the processor.
   * @template T @param {import("./calls.js").Context} context @param {(taken: Taken) => Promise<T>} load @returns {Promise<T>}
   */
  async open(context, load) {
    const taken = await this.taken();
    try {
      return await load(taken);
    } catch (thrown) {
      const { name, message } = /** @type {Error} */ (thrown);
      if (name !== "DeviceError" || this.asked !== "auto" || taken.backend === "wasm") throw thrown;
      context.tell("warning", `Without WebGPU: ${message}`);
      this.#taken = processor(this.#builds, fetching, message);
      return this.open(context, load);
    }
  }
}
