// The worker: models and wasm memory live here. Each message is a call of one of `methods`; answers, progress and
// previews go back under the call's number.
import { from, processor, take } from "./backend.js";
import { error } from "./error.js";
import { picture } from "./picture.js";
import { nothing, resolve, select } from "./sources.js";
import { Store, shortage } from "./store.js";

/** @typedef {import("./easel.d.ts").ModelSource} ModelSource */
/** @typedef {import("./easel.d.ts").LocalModel} LocalModel */
/** @typedef {{ tell(event: string, value: any): void, signal: AbortSignal, watch: import("./store.js").Watch }} Context */

/** Wasm memory ends here, and about this much of it is for the work beside the weights. */
const WASM_MEMORY = 4 * 2 ** 30;
const WORK = 512 * 2 ** 20;

/** From here on, in gigabytes, the memory that a browser admits to may be any amount. */
const MOST_ADMITTED = 8;

/** @type {{ backend: import("./easel.d.ts").Backend, base: string, hub: string, wasm?: string }} */
let settings;
/** @type {{ model: any, name: string, size: number } | undefined} */
let current;
/** The call that has the model; the next one waits for it. @type {Promise<unknown>} */
let busy = Promise.resolve();
/** @type {Map<number, AbortController>} */
const running = new Map();

/** What computes, found out at the first call that needs it, and again if that failed. @type {Promise<import("./backend.js").Seat> | undefined} */
let seat;
const seated = () => (seat ??= take(settings.backend, fetching).catch((thrown) => {
  seat = undefined;
  throw thrown;
}));
/** The calls at work, which hear how much of the program has been fetched: all of them wait for it. @type {Set<import("./store.js").Watch>} */
const watching = new Set();
const fetching = (/** @type {number} */ step, /** @type {number} */ of) => {
  for (const watch of watching) watch.progress("program", step, of);
};
/** Whether the graphics device has drawn with the model: then its kernels are compiled. */
let warm = false;
const wasm = async () => (await seated()).module;

/** The HTTP interface of this worker. @type {Promise<any> | undefined} */
let service;
const server = () => (service ??= wasm().then(({ Server }) => new Server(engine)));

/** @type {Promise<Store | undefined> | undefined} */
let storage;
const store = () => (storage ??= Store.open(async () => new (await wasm()).Digest()));

/** What was found out about models, by what they were asked for as. @type {Map<string, Promise<import("./sources.js").RemoteModel>>} */
const looked = new Map();

const methods = {
  prepare: async () => void (await seated()),

  /** @param {Context} _ @param {number} size */
  fits: async (_, size) => (await need({ name: "", files: [{ path: "", size }] })).refusal ?? (await shortage(size)),

  /** @param {Context} context @param {ModelSource} model */
  async plan(context, model) {
    if (typeof model === "string") looked.delete(model);
    const entry = typeof model === "string" ? await find(model, context.signal) : local(model);
    const here = (await (await store())?.summary(entry)) ?? { stored: 0, complete: false };
    const { size, memory, refusal } = await need(entry);
    const full = typeof model === "string" && (await store()) ? await shortage(size - here.stored) : undefined;
    return { ...entry, ...here, size, memory, refusal: refusal ?? full };
  },

  /** @param {Context} context @param {ModelSource} model */
  load: (context, model) => exclusive(context, async () => {
    free();
    warm = false;
    const { watch, signal } = context;
    // First the program and then the model, so that progress tells of one thing after the other.
    await seated();
    const entry = typeof model === "string" ? await find(model, signal) : local(model);
    const { size, refusal } = await need(entry);
    if (refusal) throw error("Unsupported", `${entry.name}: ${refusal}`);
    // What is found out anew next time, if these files turn out to be others than it says.
    if (typeof model === "string") looked.delete(model);
    const files = typeof model === "string" ? await fetched(entry, watch) : trimmed(model).files;
    const { name, usual } = entry;
    const loaded = await open(context, { name, files, usual });
    current = { name, size, model: loaded };
    const { backend, threads, reason, threadsReason } = await seated();
    return { name, backend, threads, reason, threadsReason, defaults: loaded.defaults() };
  }),

  /** @param {Context} context @param {LocalModel} model */
  async keep(context, model) {
    const kept = await store();
    if (!kept) throw error("ReadError", "this browser has no storage that models could be kept in");
    await kept.keep(trimmed(model), context.watch);
  },

  /** @param {Context} context @param {import("./easel.d.ts").GenerateOptions} options */
  async generate(context, options) {
    const started = performance.now();
    const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
    const [initImage, mask] = [await picture("initImage", options.initImage), await picture("mask", options.mask)];
    const { png, ...rest } = await draw(context, { ...options, seed, initImage, mask });
    return { ...rest, seed, image: new Blob([png], { type: "image/png" }), seconds: (performance.now() - started) / 1000 };
  },

  /**
   * Answers a request of the HTTP interface: its head, then the pieces of its body.
   * @param {Context} context @param {{ method: string, target: string, headers: [string, string][], body: Uint8Array }} request
   */
  async fetch({ tell, signal }, { method, target, headers, body }) {
    const answer = await (await server()).fetch(method, target, headers, body);
    tell("head", { status: answer.status, headers: answer.headers });
    const left = aborted(signal);
    for (;;) {
      const piece = await Promise.race([answer.next(), left]);
      if (!(piece instanceof Uint8Array)) return;
      tell("piece", piece);
    }
  },

  models: async () => (await (await store())?.list()) ?? [],
  schedulers: async () => current?.model.schedulers() ?? (await wasm()).schedulers(),

  /** @param {Context} _ @param {Blob} file */
  async readSettings(_, file) {
    const { readSettings } = await wasm();
    return readSettings(new Uint8Array(await file.arrayBuffer()));
  },

  /** @param {Context} _ @param {string} [name] */
  async purge(_, name) {
    await (await store())?.purge(name);
  },

  memory: async () => ({ wasm: (await wasm()).memoryBytes(), gpu: current?.model.gpuBytes() ?? 0, model: current?.size ?? 0 }),
};

/**
 * A model on what computes. Where the graphics device cannot be opened and nobody insisted on it, that is the processor.
 * @param {Context} context @param {{ name: string, files: any, usual: any }} entry @returns {Promise<any>}
 */
async function open(context, { name, files, usual }) {
  const { module, backend } = await seated();
  const options = { name, backend, ...usual };
  try {
    return await cancellable(context, (cancel) => module.Model.load(files, options, events(context), cancel));
  } catch (thrown) {
    const { name: kind, message } = /** @type {Error} */ (thrown);
    if (kind !== "DeviceError" || settings.backend !== "auto" || backend === "wasm") throw thrown;
    context.tell("warning", `Without WebGPU: ${message}`);
    seat = processor(fetching, message);
    return open(context, { name, files, usual });
  }
}

/**
 * Draws one picture with the model that is loaded, when its turn has come.
 * @param {Context} context @param {Record<string, any>} request
 */
const draw = (context, request) => exclusive(context, async () => {
  if (!current) throw error("InvalidRequest", "model: no model is loaded");
  const { model } = current;
  const sparing = request.previewEvery === "auto";
  const asked = sparing ? { ...request, previewEvery: 1 } : request;
  const own = warm || model.backend() !== "webgpu" ? context : preparing(context);
  const drawn = await cancellable(context, (cancel) => model.generate(asked, events(own, sparing), cancel));
  warm = true;
  const { png, width, height, parameters } = drawn;
  drawn.free();
  return { png, width, height, parameters };
});

/**
 * The context of a first picture on a graphics device. What comes before its first step is mostly the compilation of kernels,
 * and is called so.
 * @param {Context} context @returns {Context}
 */
const preparing = (context) => ({
  ...context,
  watch: { ...context.watch, progress: (phase, step, of) => context.watch.progress(phase === "encode" ? "prepare" : phase, step, of) },
});

/** What the HTTP interface draws with: the tasks that are at work, by their ids. @type {Map<string, AbortController>} */
const tasks = new Map();
const engine = {
  /** @param {string} task @param {object} request @param {any} report */
  async draw(task, request, report) {
    const controller = new AbortController();
    tasks.set(task, controller);
    const { signal } = controller;
    const tell = (/** @type {string} */ event, /** @type {any} */ value) => {
      if (event === "preview") report.preview(value.width, value.height, value.data);
    };
    const progress = (/** @type {string} */ phase, /** @type {number} */ step, /** @type {number} */ of) => {
      if (phase === "denoise") report.progress(step, of);
    };
    try {
      return (await draw({ tell, signal, watch: { progress, signal } }, request)).png;
    } catch (thrown) {
      // After a trap the page has to start another worker, whichever call it was.
      if (thrown instanceof WebAssembly.RuntimeError) postMessage({ id: -1, ...(await failure(thrown)) });
      throw thrown;
    } finally {
      tasks.delete(task);
      report.free();
    }
  },
  cancel: (/** @type {string} */ task) => tasks.get(task)?.abort(),
  model: () => current?.name,
  backend: () => current?.model.backend() ?? "wasm",
  uuid: () => crypto.randomUUID(),
  sleep: (/** @type {number} */ milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
};

/**
 * What is known of a model: from its source, or from the store if the source cannot be reached.
 * @param {string} model @param {AbortSignal} signal @returns {Promise<import("./sources.js").RemoteModel>}
 */
async function find(model, signal) {
  const known = await (await store())?.entry(model);
  // What came with the page may have come anew with it; all else stays what it was when it was fetched.
  const whole = known?.files.every((/** @type {any} */ file) => file.shards || !file.url);
  if (known && whole && !known.url?.startsWith(settings.base)) return known;
  try {
    // A plan is followed by loading: what was found out for it is used, once.
    const found = looked.get(model) ?? resolve(known?.url ?? model, settings, signal);
    looked.set(model, found);
    return structuredClone(await found);
  } catch (thrown) {
    looked.delete(model);
    if (known) return known;
    throw thrown;
  }
}

/** The files that the model needs, of all that were handed over. @param {LocalModel} model @returns {LocalModel} */
function trimmed({ name, files }) {
  const all = files.map(([path, file]) => ({ path, file }));
  const needed = select(all);
  if (needed.length === 0) throw error("ModelError", `${name}: ${nothing(all)}`);
  return { name, files: needed.map(({ path, file }) => [path, file]) };
}

/** @param {LocalModel} model @returns {import("./sources.js").RemoteModel} */
function local(model) {
  const { name, files } = trimmed(model);
  return { name, files: files.map(([path, file]) => ({ path, size: file.size })) };
}

/** The files of a model, by way of the store where there is one. @param {any} entry @param {import("./store.js").Watch} watch */
async function fetched(entry, watch) {
  const kept = await store();
  if (kept) return kept.open(entry, watch);
  const file = async (/** @type {any} */ { path, url }) => [path, await (await fetch(url, watch)).blob()];
  return Promise.all(entry.files.map(file));
}

/** What a model takes, and why it cannot be loaded if it cannot. @param {import("./sources.js").RemoteModel} entry */
async function need({ files, refusal }) {
  const size = files.reduce((sum, file) => sum + file.size, 0);
  const memory = Math.ceil(size * 1.1) + WORK;
  const gigabytes = (/** @type {number} */ bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
  const tooMuch = (/** @type {string} */ offer) => refusal ?? `needs about ${gigabytes(memory)} of memory, and ${offer}`;
  // How much memory a graphics device has, no browser tells; how much the whole device has, only roughly.
  const { deviceMemory = Infinity } = /** @type {{ deviceMemory?: number }} */ (navigator);
  if (deviceMemory < MOST_ADMITTED && memory > 1.5 * deviceMemory * 2 ** 30) {
    return { size, memory, refusal: tooMuch(`this device has about ${deviceMemory} GB`) };
  }
  const fits = memory <= WASM_MEMORY || (await seated()).backend === "webgpu";
  return { size, memory, refusal: fits ? refusal : tooMuch(`WebAssembly has ${gigabytes(WASM_MEMORY)} at most`) };
}

function free() {
  current?.model.free();
  current = undefined;
}

/** Waits for its turn with the model. @template T @param {Context} context @param {() => Promise<T>} work @returns {Promise<T>} */
function exclusive({ signal }, work) {
  const turn = Promise.race([busy, aborted(signal)]).then(() => {
    signal.throwIfAborted();
    return work();
  });
  busy = Promise.allSettled([busy, turn]);
  return turn;
}

/** @param {AbortSignal} signal */
const aborted = (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve));

/** Runs wasm that the call's signal stops. @param {Context} context @param {(cancel: any) => Promise<any>} run */
async function cancellable({ signal }, run) {
  const { Cancel } = await wasm();
  const cancel = new Cancel();
  const stop = () => cancel.cancel();
  signal.addEventListener("abort", stop);
  try {
    signal.throwIfAborted();
    return await run(cancel);
  } finally {
    signal.removeEventListener("abort", stop);
    cancel.free();
  }
}

/** What wasm calls while it works. @param {Context} context @param {boolean} [sparing] with time for previews */
function events({ tell, watch }, sparing = false) {
  /** When a preview was begun, and when the next may be. */
  let [begun, next] = [0, 0];
  return {
    progress: watch.progress,
    warning: (/** @type {string} */ message) => tell("warning", message),
    clock: () => performance.now() / 1000,
    pause: turn,
    wantsPreview() {
      begun = performance.now();
      return !sparing || begun >= next;
    },
    /** @param {number} width @param {number} height @param {Uint8Array} rgba */
    preview(width, height, rgba) {
      const pixels = new Uint8ClampedArray(/** @type {ArrayBuffer} */ (rgba.buffer));
      tell("preview", new ImageData(pixels, width, height));
      const now = performance.now();
      next = now + 4 * (now - begun);
    },
  };
}

/** Lets messages that have arrived be heard. A timer would wait four milliseconds. */
const channel = new MessageChannel();
const turn = () =>
  new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(undefined);
  });

/** @param {number} id @param {keyof typeof methods} method @param {any[]} args */
async function answer(id, method, args) {
  const controller = new AbortController();
  running.set(id, controller);
  const started = performance.now();
  const tell = (/** @type {string} */ event, /** @type {any} */ value) => postMessage({ id, event, value });
  const progress = (/** @type {string} */ phase, /** @type {number} */ step, /** @type {number} */ of) =>
    tell("progress", { phase, step, of, seconds: (performance.now() - started) / 1000 });
  const context = { tell, signal: controller.signal, watch: { progress, signal: controller.signal } };
  watching.add(context.watch);
  try {
    const run = /** @type {(context: Context, ...args: any[]) => Promise<unknown>} */ (methods[method]);
    postMessage({ id, value: await run(context, ...args) });
  } catch (thrown) {
    postMessage({ id, ...(await failure(thrown)) });
  } finally {
    running.delete(id);
    watching.delete(context.watch);
  }
}

/**
 * What the page hears of an error. After a trap the instance is of no use; a device that is full or gone for good is given
 * back best with all of the worker.
 * @param {any} thrown
 */
async function failure(thrown) {
  if (!(thrown instanceof WebAssembly.RuntimeError)) {
    const { name = "Error", message = String(thrown) } = thrown ?? {};
    return { error: { name, message }, fatal: ["DeviceError", "DeviceLost", "OutOfMemory"].includes(name) };
  }
  const said = (await wasm()).panicked();
  const [name, message] = said ? ["Error", said] : ["OutOfMemory", "out of memory: try a smaller picture or model"];
  return { error: { name, message }, fatal: true };
}

addEventListener("message", ({ data }) => {
  if (data.settings) {
    settings = data.settings;
    from(settings.wasm);
  } else if (data.cancel) running.get(data.id)?.abort();
  else answer(data.id, data.method, data.args);
});
