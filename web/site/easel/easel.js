// The package's entry: the page's side of the worker.
import { EaselError, error as failure } from "./error.js";
import { check } from "./options.js";
import { withOverall } from "./overall.js";
export { detect } from "./detect.js";
export { RemoteEasel } from "./remote.js";
export { EaselError };

/** @typedef {import("./easel.d.ts").Easel} Declared */
/** @typedef {import("./easel.d.ts").GenerateOptions} GenerateOptions */
/** @typedef {import("./easel.d.ts").LoadOptions} LoadOptions */
/** @typedef {import("./easel.d.ts").LocalModel} LocalModel */
/** @typedef {import("./easel.d.ts").ModelSource} ModelSource */
/** @typedef {{ resolve(value: any): void, reject(error: Error): void, listeners: Record<string, Function | undefined> }} Call */

/** @implements {Declared} */
export class Easel {
  /** @type {import("./easel.d.ts").LoadedModel | undefined} */
  loaded;
  /** @type {Worker | undefined} */
  #worker;
  /** What to load again after a crash. @type {ModelSource | undefined} */
  #model;
  /** @type {Map<number, Call>} */
  #calls = new Map();
  #next = 0;
  #settings;
  #workerUrl;

  /** @param {import("./easel.d.ts").EaselOptions} [options] */
  constructor({ backend = "auto", base = new URL("../models/", import.meta.url), hub = "https://huggingface.co", workerUrl, wasmUrl } = {}) {
    const absolute = (/** @type {string | URL} */ url) => String(new URL(url, globalThis.location?.href));
    this.#settings = { backend, base: absolute(base), hub, wasm: wasmUrl && absolute(wasmUrl) };
    this.#workerUrl = workerUrl && absolute(workerUrl);
  }

  get backend() {
    return this.#settings.backend;
  }

  set backend(backend) {
    if (backend === this.#settings.backend) return;
    this.#settings.backend = backend;
    this.#drop(named("AbortError", "something else computes from now on"));
  }

  /** @param {LoadOptions} [options] @returns {Promise<void>} */
  prepare(options = {}) {
    return this.#call("prepare", [], options);
  }

  /** @param {number} size @returns {Promise<string | undefined>} */
  fits(size) {
    return this.#call("fits", [size]);
  }

  /** @param {ModelSource} model @returns {Promise<import("./easel.d.ts").ModelPlan>} */
  plan(model) {
    return this.#call("plan", [model]);
  }

  /** @param {ModelSource} model @param {LoadOptions} [options] */
  async load(model, options = {}) {
    this.#model = model;
    this.loaded = undefined;
    const loaded = await this.#call("load", [model], options);
    this.loaded = loaded;
    return loaded;
  }

  /** @param {LocalModel} model @param {LoadOptions} [options] @returns {Promise<void>} */
  keep(model, options = {}) {
    return this.#call("keep", [model], options);
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
    return this.#call("generate", [request], { signal, onProgress, onPreview, onWarning });
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
    return this.#call("models", []);
  }

  /** @returns {Promise<string[]>} */
  schedulers() {
    return this.#call("schedulers", []);
  }

  /** @param {Blob} file @returns {Promise<import("./easel.d.ts").Settings | undefined>} */
  readSettings(file) {
    return this.#call("readSettings", [file]);
  }

  /** @param {string} [name] @returns {Promise<void>} */
  purge(name) {
    return this.#call("purge", [name]);
  }

  /** @returns {Promise<import("./easel.d.ts").Memory>} */
  memory() {
    return this.#call("memory", []);
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
      this.#call("fetch", [asked], { signal, onHead, onPiece }).then(closed, broken);
    });
  }

  unload() {
    this.#model = undefined;
    this.#drop(named("AbortError", "the model was unloaded"));
  }

  /** For `await using`, in browsers that have it. */
  async [Symbol.asyncDispose]() {
    this.unload();
  }

  /**
   * @param {string} method @param {unknown[]} args
   * @param {LoadOptions & { onPreview?(preview: ImageData): void, onHead?: Function, onPiece?: Function }} [options]
   * @returns {Promise<any>}
   */
  #call(method, args, { signal, onProgress, onPreview, onWarning, onHead, onPiece } = {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const worker = (this.#worker ??= this.#start());
      const id = this.#next++;
      const cancel = () => worker.postMessage({ id, cancel: true });
      signal?.addEventListener("abort", cancel);
      const done = (/** @type {Function} */ settle) => (/** @type {unknown} */ value) => {
        signal?.removeEventListener("abort", cancel);
        this.#calls.delete(id);
        settle(value);
      };
      const listeners = { progress: withOverall(method, onProgress), preview: onPreview, warning: onWarning, head: onHead, piece: onPiece };
      const reason = (/** @type {Error} */ thrown) => reject(signal?.aborted && thrown.name === "AbortError" ? signal.reason : thrown);
      this.#calls.set(id, { resolve: done(resolve), reject: done(reason), listeners });
      worker.postMessage({ id, method, args });
    });
  }

  #start() {
    const worker = this.#workerUrl
      ? new Worker(nearby(this.#workerUrl), { type: "module", name: "easel" })
      : new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "easel" });
    worker.postMessage({ settings: this.#settings });
    worker.onmessage = ({ data }) => this.#hear(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#drop(named("WorkerError", `the worker failed: ${event.message || "it could not be loaded"}`));
    };
    return worker;
  }

  /** @param {any} data */
  #hear({ id, event, value, error, fatal }) {
    const call = this.#calls.get(id);
    if (event) return call?.listeners[event]?.(value);
    const failure = error && named(error.name, error.message);
    if (failure) call?.reject(failure);
    else call?.resolve(value);
    if (fatal) this.#drop(failure);
  }

  /** Ends the worker; the next call starts another one. @param {Error} error */
  #drop(error) {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.loaded = undefined;
    for (const call of [...this.#calls.values()]) call.reject(error);
  }
}

/** An error of a kind, whose message names options as the package does. @param {string} name @param {string} message */
function named(name, message) {
  if (name === "AbortError") return new DOMException(message, name);
  const own = message.replace(/^[a-z]+(_[a-z]+)+(?=:)/, (field) => field.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()));
  return failure(/** @type {import("./easel.d.ts").ErrorCode} */ (name), own);
}

/** Where a worker may be started from: browsers start none from another origin, but one that imports it. @param {string} url */
function nearby(url) {
  if (new URL(url).origin === globalThis.location?.origin) return url;
  return URL.createObjectURL(new Blob([`import ${JSON.stringify(url)};`], { type: "text/javascript" }));
}
