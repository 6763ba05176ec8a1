// Models that look at pictures: `Segmenter` cuts things out of them, `Classifier` compares them with texts. Each has a worker
// of its own, whose memory is freed with it.
import { Caller, named, settings } from "./caller.js";
import { elsewhere } from "./elsewhere.js";
import { EaselError } from "./error.js";
import { check } from "./options.js";
export { EaselError };

/** @typedef {import("./analysis.d.ts").Prompt} Prompt */
/** @typedef {import("./analysis.d.ts").Segment} Segment */
/** @typedef {import("./easel.d.ts").LoadOptions} LoadOptions */
/** @typedef {import("./easel.d.ts").ModelSource} ModelSource */
/** @typedef {{ signal?: AbortSignal }} Abortable */

/** What both have in common. */
class Analysis {
  /** @type {import("./analysis.d.ts").LoadedAnalysis | undefined} */
  loaded;
  /** @protected */
  worker;
  /** What to load again after a crash. @type {ModelSource | undefined} */
  #model;
  /** The number of the next picture. No worker has one twice, nor the one after it. */
  #next = 0;

  /** @param {import("./easel.d.ts").Use} use @param {import("./easel.d.ts").EaselOptions} [options] */
  constructor(use, options = {}) {
    const { settings: own, workerUrl } = settings(options);
    this.worker = new Caller({ ...own, use }, workerUrl, `easel ${use}`, start);
    this.worker.onEnd = () => (this.loaded = undefined);
  }

  get backend() {
    return this.worker.settings.backend;
  }

  /** @param {ModelSource} model @returns {Promise<import("./easel.d.ts").ModelPlan>} */
  plan(model) {
    return this.worker.call("plan", [model]);
  }

  /** @param {ModelSource} model @param {LoadOptions} [options] */
  async load(model, options = {}) {
    this.#model = model;
    this.loaded = undefined;
    const loaded = await this.worker.call("load", [model], options);
    this.loaded = loaded;
    return loaded;
  }

  /** @param {Exclude<ModelSource, string>} model @param {LoadOptions} [options] @returns {Promise<void>} */
  keep(model, options = {}) {
    return this.worker.call("keep", [model], options);
  }

  /**
   * Hands a picture to the model, which is loaded again if its worker has died.
   * @protected @param {Blob} image @param {Abortable} [options] @returns {Promise<{ id: number, width: number, height: number }>}
   */
  async look(image, { signal } = {}) {
    if (!this.loaded) {
      if (!this.#model) throw named("InvalidRequest", "model: no model is loaded");
      await this.load(this.#model, { signal });
    }
    const id = this.#next++;
    return { id, ...(await this.worker.call("embed", [id, image], { signal })) };
  }

  /** @returns {Promise<import("./easel.d.ts").Memory>} */
  memory() {
    return this.worker.call("memory", []);
  }

  unload() {
    this.#model = undefined;
    this.worker.end("the model was unloaded");
  }

  /** For `await using`, in browsers that have it. */
  async [Symbol.asyncDispose]() {
    this.unload();
  }
}

/** A picture in a worker. */
class Picture {
  /** @protected */
  worker;
  /** @protected */
  id;

  /** @param {Caller} worker @param {number} id */
  constructor(worker, id) {
    this.worker = worker;
    this.id = id;
  }

  dispose() {
    // What has ended has freed all of its pictures.
    if (this.worker.isRunning) this.worker.call("release", [this.id]).catch(() => {});
  }
}

/** @implements {InstanceType<typeof import("./analysis.d.ts").Segmenter>} */
export class Segmenter extends Analysis {
  /** @param {import("./easel.d.ts").EaselOptions} [options] */
  constructor(options) {
    super("segmenter", options);
  }

  /** @param {Blob} image @param {Abortable} [options] */
  async embed(image, options) {
    const { id, width, height } = await this.look(image, options);
    return new SegmentedPicture(this.worker, id, width, height);
  }
}

class SegmentedPicture extends Picture {
  /** @param {Caller} worker @param {number} id @param {number} width @param {number} height */
  constructor(worker, id, width, height) {
    super(worker, id);
    this.width = width;
    this.height = height;
  }

  /** @param {Prompt} prompt @param {Abortable} [options] @returns {Promise<Segment[]>} */
  async segment(prompt, { signal } = {}) {
    check(prompt, ["points", "box", "mask", "single"]);
    return this.worker.call("segment", [this.id, prompt], { signal });
  }

  /** @param {Pick<Segment, "mask" | "width">} segment @param {{ tolerance?: number, signal?: AbortSignal }} [options] @returns {Promise<Float64Array[][]>} */
  polygons({ mask, width }, { tolerance = 1, signal } = {}) {
    return this.worker.call("polygons", [mask, width, tolerance], { signal });
  }
}

/** @implements {InstanceType<typeof import("./analysis.d.ts").Classifier>} */
export class Classifier extends Analysis {
  /** @param {import("./easel.d.ts").EaselOptions} [options] */
  constructor(options) {
    super("classifier", options);
  }

  /** @param {Blob} image @param {Abortable} [options] */
  async embed(image, options) {
    return new ClassifiedPicture(this.worker, (await this.look(image, options)).id);
  }
}

class ClassifiedPicture extends Picture {
  /** @param {string[]} texts @param {Abortable} [options] @returns {Promise<number[]>} */
  score(texts, { signal } = {}) {
    return this.worker.call("score", [this.id, texts], { signal });
  }
}

/** The worker of these. Bundlers follow what is written out. */
function start() {
  try {
    return new Worker(new URL("./analysis-worker.js", import.meta.url), { type: "module", name: "easel analysis" });
  } catch (thrown) {
    return elsewhere(thrown, "analysis-worker.js", "easel analysis");
  }
}
