// The page's side of a worker: calls with progress and cancellation, and another worker in place of one that has died.
import { beside, worker as startWorker } from "./elsewhere.js";
import { error as failure } from "./error.js";
import { withOverall } from "./overall.js";

/**
 * @typedef {{ resolve(value: any): void, reject(error: Error): void, listeners: Record<string, Function | undefined> }} Call
 * @typedef {import("./easel.d.ts").LoadOptions & { onPreview?(preview: ImageData): void, onHead?: Function, onPiece?: Function }} Listeners
 * @typedef {{ backend: import("./easel.d.ts").Backend, base: string, hub: string, wasm?: string, use?: import("./easel.d.ts").Use }} Settings
 */

/** The settings that a worker is started with, and the address of its script if that was moved. @param {import("./easel.d.ts").EaselOptions} options */
export function settings({ backend = "auto", base = beside("../models/"), hub = "https://huggingface.co", workerUrl, wasmUrl }) {
  const absolute = (/** @type {string | URL} */ url) => String(new URL(url, globalThis.location?.href));
  const folder = (/** @type {string | URL} */ url) => absolute(url).replace(/\/?$/, "/");
  const settings = { backend, base: folder(base), hub, wasm: wasmUrl && folder(wasmUrl) };
  return { settings, workerUrl: workerUrl && absolute(workerUrl) };
}

export class Caller {
  /** Called when the worker has ended, whatever it had. @type {() => void} */
  onEnd = () => {};
  /** @type {Worker | undefined} */
  #worker;
  /** @type {Map<number, Call>} */
  #calls = new Map();
  #next = 0;
  #start;

  /** @param {Settings} settings @param {string | undefined} workerUrl @param {string} name @param {() => Worker} own starts the worker of the package */
  constructor(settings, workerUrl, name, own) {
    this.settings = settings;
    this.#start = () => (workerUrl ? startWorker(workerUrl, name) : own());
  }

  /** @param {string} method @param {unknown[]} args @param {Listeners} [options] @returns {Promise<any>} */
  call(method, args, { signal, onProgress, onPreview, onWarning, onHead, onPiece } = {}) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const worker = (this.#worker ??= this.#begin());
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

  /** Whether there is a worker, which may have a model. */
  get isRunning() {
    return this.#worker !== undefined;
  }

  /** Ends the worker; the next call starts another one. @param {string} reason what calls at work are told */
  end(reason) {
    this.#drop(named("AbortError", reason));
  }

  #begin() {
    const worker = this.#start();
    worker.postMessage({ settings: this.settings });
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

  /** @param {Error} error */
  #drop(error) {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.onEnd();
    for (const call of [...this.#calls.values()]) call.reject(error);
  }
}

/** An error of a kind, whose message names options as the package does. @param {string} name @param {string} message */
export function named(name, message) {
  if (name === "AbortError") return new DOMException(message, name);
  const own = message.replace(/^[a-z]+(_[a-z]+)+(?=:)/, (field) => field.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()));
  return failure(/** @type {import("./easel.d.ts").ErrorCode} */ (name), own);
}
