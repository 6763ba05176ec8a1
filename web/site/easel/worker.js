// The worker that draws: a model and wasm memory live here.
import { clipVocabulary, files, from, httpInterface, t5Vocabulary } from "./backend.js";
import { aborted, answerCalls, cancellable, exclusive, fail, turn } from "./calls.js";
import { error } from "./error.js";
import { Library } from "./library.js";
import { need } from "./need.js";
import { picture } from "./picture.js";
import { Seat } from "./seat.js";
import { shortage } from "./store.js";

/** @typedef {import("./easel.d.ts").ModelSource} ModelSource */
/** @typedef {import("./calls.js").Context} Context */

/** The builds of the module that draws: bundlers follow these addresses. */
const seat = new Seat({
  wasm: () => files("wasm", new URL("./wasm/easel_web.js", import.meta.url), new URL("./wasm/easel_web_bg.wasm", import.meta.url)),
  threads: () => files("threads", new URL("./threads/easel_web.js", import.meta.url), new URL("./threads/easel_web_bg.wasm", import.meta.url)),
});

/** @type {Library} */
let library;
/** @type {{ model: any, name: string, size: number } | undefined} */
let current;
/** Whether the graphics device has drawn with the model: then its kernels are compiled. */
let warm = false;

/** The HTTP interface of this worker. @type {Promise<any> | undefined} */
let service;
const server = () => (service ??= start().catch((thrown) => {
  service = undefined;
  throw thrown;
}));
const start = async () => {
  const [{ Server }, { samplers }] = await Promise.all([httpInterface(), seat.module()]);
  return new Server({ ...engine, samplers });
};

const methods = {
  prepare: async () => void (await seat.taken()),

  /** @param {Context} _ @param {number} size */
  fits: async (_, size) => (await need({ files: [{ size }] }, seat)).refusal ?? (await shortage(size)),

  /** @param {Context} context @param {ModelSource} model */
  plan: ({ signal }, model) => library.plan(model, signal),

  /** @param {Context} context @param {ModelSource} model */
  load: (context, model) => exclusive(context, async () => {
    free();
    warm = false;
    // First the program and then the model, so that progress tells of one thing after the other.
    await seat.taken();
    const { entry, size, files } = await library.fetch(model, undefined, context.watch);
    const { name, usual } = entry;
    const loaded = await open(context, { name, files, usual });
    current = { name, size, model: loaded };
    const { backend, threads, reason, threadsReason } = await seat.taken();
    return { name, backend, threads, reason, threadsReason, defaults: loaded.defaults() };
  }),

  /** @param {Context} context @param {Exclude<ModelSource, string>} model */
  keep: ({ watch }, model) => library.keep(model, watch),

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
    const left = aborted(signal);
    const answer = await (await server()).fetch(method, target, headers, body, left).catch(interfaceBroke);
    if (!answer) return;
    tell("head", { status: answer.status, headers: answer.headers });
    const next = () => answer.next().catch(interfaceBroke);
    for (let piece = await next(); piece; piece = await next()) tell("piece", piece);
  },

  models: async () => (await (await library.store())?.list()) ?? [],
  schedulers: async () => current?.model.schedulers() ?? (await seat.module()).schedulers(),

  /** @param {Context} _ @param {Blob} file */
  async readSettings(_, file) {
    const { readSettings } = await seat.module();
    return readSettings(new Uint8Array(await file.arrayBuffer()));
  },

  /** @param {Context} _ @param {string} [name] */
  async purge(_, name) {
    await (await library.store())?.purge(name);
  },

  memory: async () => ({ wasm: (await seat.module()).memoryBytes(), gpu: current?.model.gpuBytes() ?? 0, model: current?.size ?? 0 }),
};

/** A model on what computes. @param {Context} context @param {{ name: string, files: [string, Blob][], usual: any }} entry @returns {Promise<any>} */
const open = (context, { name, files, usual }) => seat.open(context, async ({ module, backend }) => {
  if (lacksTokenizer(files)) module.provideClipVocabulary(await clipVocabulary());
  return cancellable(context, module, (cancel) => module.Model.load(files, { name, backend, ...usual }, events(context), cancel));
});

/** Whether a text encoder may come without a tokenizer, as in checkpoints and single parts. @param {[path: string, file: Blob][]} files */
function lacksTokenizer(files) {
  const folders = new Set(files.map(([path]) => path.split("/")[0]));
  const encoders = [...folders].filter((folder) => folder.startsWith("text_encoder"));
  return !folders.has("model_index.json") || encoders.some((folder) => !folders.has(folder.replace("text_encoder", "tokenizer")));
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
  const drawn = await cancellable(context, await seat.module(), (cancel) => model.generate(asked, events(own, sparing), cancel));
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
      if (thrown instanceof WebAssembly.RuntimeError) await fail(-1, thrown);
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

/** Says which module it was: the model is in the other one. @param {any} thrown @returns {never} */
function interfaceBroke(thrown) {
  if (!(thrown instanceof WebAssembly.RuntimeError)) throw thrown;
  service = undefined;
  throw error("Error", `the HTTP interface broke: ${thrown.message}`);
}

function free() {
  current?.model.free();
  current = undefined;
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
    vocabulary: () => t5Vocabulary(watch.signal),
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

answerCalls(methods, {
  /** @param {{ backend: import("./easel.d.ts").Backend, base: string, hub: string, wasm?: string }} settings */
  configure({ backend, base, hub, wasm }) {
    seat.asked = backend;
    from(wasm);
    library = new Library({ base, hub }, seat);
  },
  panicked: async () => (await seat.module()).panicked(),
});
