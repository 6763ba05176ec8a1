// The package's entry: drawing in a worker.
import { Caller, named, settings } from "./caller.js";
import { elsewhere } from "./elsewhere.js";
import { EaselError } from "./error.js";
import { check } from "./options.js";
export { detect } from "./detect.js";
export { RemoteEasel } from "./remote.js";
export { EaselError };

/** @typedef {import("./easel.d.ts").Easel} Declared */
/** @typedef {import("./easel.d.ts").GenerateOptions} GenerateOptions */
/** @typedef {import("./easel.d.ts").LoadOptions} LoadOptions */
/** @typedef {import("./easel.d.ts").LocalModel} LocalModel */
/** @typedef {import("./easel.d.ts").ModelSource} ModelSource */
/** @typedef {import("./easel.d.ts").ComposedModel} ComposedModel */

/** @implements {Declared} */
export class Easel {
  /** @type {import("./easel.d.ts").LoadedModel | undefined} */
  loaded;
  /** What to load again after a crash. @type {ModelSource | undefined} */
  #model;
  #worker;

  /** @param {import("./easel.d.ts").EaselOptions} [options] */
  constructor(options = {}) {
    const { settings: own, workerUrl } = settings(options);
    this.#worker = new Caller(own, workerUrl, "easel", start);
    this.#worker.onEnd = () => (this.loaded = undefined);
  }

  get backend() {
    return this.#worker.settings.backend;
  }

  set backend(backend) {
    if (backend === this.backend) return;
    this.#worker.settings.backend = backend;
    this.#worker.end("something else computes from now on");
  }

  /** @param {LoadOptions} [options] @returns {Promise<void>} */
  prepare(options = {}) {
    return this.#worker.call("prepare", [], options);
  }

  /** @param {number} size @returns {Promise<string | undefined>} */
  fits(size) {
    return this.#worker.call("fits", [size]);
  }

  /** @param {ModelSource} model @returns {Promise<import("./easel.d.ts").ModelPlan>} */
  plan(model) {
    return this.#worker.call("plan", [model]);
  }

  /** @param {ModelSource} model @param {LoadOptions} [options] */
  async load(model, options = {}) {
    this.#model = model;
    this.loaded = undefined;
    const loaded = await this.#worker.call("load", [model], options);
    this.loaded = loaded;
    return loaded;
  }

  /** @param {LocalModel | ComposedModel} model @param {LoadOptions} [options] @returns {Promise<void>} */
  keep(model, options = {}) {
    return this.#worker.call("keep", [model], options);
  }

  /** @param {GenerateOptions} options @returns {Promise<import("./easel.d.ts").Picture>} */
  async generate(options) {
    check(options);
    if (!this.loaded) {
      if (!this.#model) throw named("InvalidRequest", "model: no model is loaded");
      await this.load(this.#model, options);
    }
    const { signal, onProgress, onPreview, onWarning, ...request } = options;
    if (onPreview) request.previewEvery ??= "auto";
    return this.#worker.call("generate", [request], { signal, onProgress, onPreview, onWarning });
  }

  /**
   * What happens while a picture is drawn, and the picture at the end. Leaving the loop cancels it.
   * @param {GenerateOptions} options @returns {AsyncGenerator<import("./easel.d.ts").DrawingEvent>}
   */
  async *events(options) {
    const left = new AbortController();
    /** @type {(import("./easel.d.ts").DrawingEvent | { type: "error", error: unknown })[]} */
    const queue = [];
    let wake = () => {};
    const push = (/** @type {typeof queue[number]} */ event) => {
      queue.push(event);
      wake();
    };
    const signal = AbortSignal.any([left.signal, ...(options.signal ? [options.signal] : [])]);
    this.generate({
      ...options,
      signal,
      onProgress: (progress) => push({ type: "progress", progress }),
      onPreview: (preview) => push({ type: "preview", preview }),
      onWarning: (message) => push({ type: "warning", message }),
    }).then((picture) => push({ type: "picture", picture }), (error) => push({ type: "error", error }));
    try {
      for (;;) {
        const event = queue.shift();
        if (event?.type === "error") throw event.error;
        if (event) yield event;
        if (event?.type === "picture") return;
        if (queue.length === 0) await new Promise((resolve) => (wake = () => resolve(undefined)));
      }
    } finally {
      left.abort();
    }
  }

  /** @returns {Promise<import("./easel.d.ts").StoredModel[]>} */
  models() {
    return this.#worker.call("models", []);
  }

  /** @returns {Promise<string[]>} */
  schedulers() {
    return this.#worker.call("schedulers", []);
  }

  /** @param {Blob} file @returns {Promise<import("./easel.d.ts").Settings | undefined>} */
  readSettings(file) {
    return this.#worker.call("readSettings", [file]);
  }

  /** @param {string} [name] @returns {Promise<void>} */
  purge(name) {
    return this.#worker.call("purge", [name]);
  }

  /** @returns {Promise<import("./easel.d.ts").Memory>} */
  memory() {
    return this.#worker.call("memory", []);
  }

  /**
   * Answers a request of the HTTP interface as a server would.
   * @param {RequestInfo | URL} input @param {RequestInit} [init] @returns {Promise<Response>}
   */
  async fetch(input, init) {
    const request = new Request(input, init);
    const { pathname, search } = new URL(request.url);
    const body = new Uint8Array(await request.arrayBuffer());
    const asked = { method: request.method, target: pathname + search, headers: [...request.headers], body };
    const left = new AbortController();
    const signal = AbortSignal.any([request.signal, left.signal]);
    return new Promise((resolve, reject) => {
      /** @type {ReadableStreamDefaultController} */
      let controller;
      const stream = new ReadableStream({ start: (own) => void (controller = own), cancel: () => left.abort() });
      const onHead = (/** @type {{ status: number, headers: [string, string][] }} */ { status, headers }) =>
        resolve(new Response([204, 304].includes(status) ? null : stream, { status, headers }));
      const onPiece = (/** @type {Uint8Array} */ piece) => controller.enqueue(piece);
      const broken = (/** @type {Error} */ error) => (reject(error), left.signal.aborted || controller.error(error));
      const closed = () => (request.signal.aborted ? broken(request.signal.reason) : left.signal.aborted || controller.close());
      this.#worker.call("fetch", [asked], { signal, onHead, onPiece }).then(closed, broken);
    });
  }

  unload() {
    this.#model = undefined;
    this.#worker.end("the model was unloaded");
  }

  /** For `await using`, in browsers that have it. */
  async [Symbol.asyncDispose]() {
    this.unload();
  }
}

/** The worker of this package. Bundlers follow what is written out. */
function start() {
  try {
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "easel" });
  } catch (thrown) {
    return elsewhere(thrown, "worker.js", "easel");
  }
}
