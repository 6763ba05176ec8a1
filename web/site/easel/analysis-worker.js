// The worker that looks at pictures: a model, and the pictures that it has seen.
import { files, from } from "./backend.js";
import { answerCalls, cancellable, exclusive, turn } from "./calls.js";
import { error } from "./error.js";
import { Library } from "./library.js";
import { picture } from "./picture.js";
import { Seat } from "./seat.js";

/** @typedef {import("./easel.d.ts").ModelSource} ModelSource */
/** @typedef {import("./calls.js").Context} Context */

/** The builds of the module that looks at pictures: bundlers follow these addresses. */
const seat = new Seat({
  wasm: () => files("analysis/wasm", new URL("./analysis/wasm/easel_web.js", import.meta.url), new URL("./analysis/wasm/easel_web_bg.wasm", import.meta.url)),
  threads: () => files("analysis/threads", new URL("./analysis/threads/easel_web.js", import.meta.url), new URL("./analysis/threads/easel_web_bg.wasm", import.meta.url)),
});

/** The module's classes for what models are for. */
const CLASSES = { segmenter: "Segmenter", classifier: "Classifier" };

/** What the page wants of a model. @type {import("./easel.d.ts").Use} */
let use;
/** @type {Library} */
let library;
/** @type {{ model: any, size: number } | undefined} */
let current;
/** What the model has made of pictures, by the page's numbers: an object of the module, or a vector. @type {Map<number, any>} */
const pictures = new Map();

const methods = {
  /** @param {Context} context @param {ModelSource} model */
  plan: ({ signal }, model) => library.plan(model, signal),

  /** @param {Context} context @param {ModelSource} model */
  load: (context, model) => exclusive(context, async () => {
    free();
    // First the program and then the model, so that progress tells of one thing after the other.
    await seat.taken();
    const { entry, size, files } = await library.fetch(model, use, context.watch);
    const { name } = entry;
    context.watch.progress("load", 0, 1);
    const loaded = await seat.open(context, ({ module, backend }) => module[CLASSES[use]].load(files, { name, backend }));
    current = { model: loaded, size };
    context.watch.progress("load", 1, 1);
    const { backend, threads, reason, threadsReason } = await seat.taken();
    return { name, backend, threads, reason, threadsReason };
  }),

  /** @param {Context} context @param {Exclude<ModelSource, string>} model */
  keep: ({ watch }, model) => library.keep(model, watch),

  /** @param {Context} context @param {number} id the page's number for the picture @param {Blob} image */
  embed: (context, id, image) => exclusive(context, async () => {
    if (!current) throw error("InvalidRequest", "model: no model is loaded");
    if (!(image instanceof Blob)) throw error("InvalidRequest", "image: expected a Blob");
    const { model } = current;
    const bytes = await picture("image", image);
    const see = (/** @type {any} */ cancel) => (use === "segmenter" ? model.embed(bytes, { pause: turn }, cancel) : model.embed(bytes));
    const seen = await cancellable(context, await seat.module(), see);
    pictures.set(id, seen);
    return { width: seen.width, height: seen.height };
  }),

  /** @param {Context} context @param {number} id @param {import("./analysis.d.ts").Prompt} prompt */
  segment: (context, id, prompt) => exclusive(context, async () => {
    const seen = find(id);
    const { mask, ...rest } = prompt ?? {};
    if (mask !== undefined && !(mask instanceof Float32Array)) throw error("InvalidRequest", "mask: expected the logits of an earlier segment");
    const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
    const segments = await current?.model.segment(seen, given, mask);
    return segments.map((/** @type {any} */ segment) => {
      const { mask, iou, logits } = segment;
      segment.free();
      return { width: seen.width, height: seen.height, mask, iou, logits };
    });
  }),

  /** @param {Context} context @param {Uint8Array} mask @param {number} width @param {number} tolerance */
  polygons: async (context, mask, width, tolerance) => {
    if (!(mask instanceof Uint8Array)) throw error("InvalidRequest", "mask: expected a Uint8Array");
    return (await seat.module()).polygons(mask, width, tolerance);
  },

  /** @param {Context} context @param {number} id @param {string[]} texts */
  score: (context, id, texts) => exclusive(context, async () => {
    const seen = find(id);
    const isText = (/** @type {unknown} */ text) => typeof text === "string";
    if (!Array.isArray(texts) || !texts.every(isText)) throw error("InvalidRequest", "texts: expected an array of strings");
    return Array.from(await current?.model.score(seen, texts));
  }),

  /** @param {Context} context @param {number} id */
  release: (context, id) => exclusive(context, async () => {
    pictures.get(id)?.free?.();
    pictures.delete(id);
  }),

  memory: async () => ({ wasm: (await seat.module()).memoryBytes(), gpu: current?.model.gpuBytes() ?? 0, model: current?.size ?? 0 }),
};

/** What the model has made of a picture. @param {number} id */
function find(id) {
  const seen = pictures.get(id);
  if (!seen) throw error("InvalidRequest", "picture: its model is no longer loaded, or it was disposed of; embed it again");
  return seen;
}

function free() {
  for (const seen of pictures.values()) seen.free?.();
  pictures.clear();
  current?.model.free();
  current = undefined;
}

answerCalls(methods, {
  /** @param {{ backend: import("./easel.d.ts").Backend, base: string, hub: string, wasm?: string, use: import("./easel.d.ts").Use }} settings */
  configure({ backend, base, hub, wasm, use: asked }) {
    [seat.asked, use] = [backend, asked];
    from(wasm);
    library = new Library({ base, hub }, seat);
  },
  panicked: async () => (await seat.module()).panicked(),
});
