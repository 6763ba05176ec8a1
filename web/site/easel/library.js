// The models that a worker can load: found by their names, at addresses or among files at hand, and kept in the store.
import { error } from "./error.js";
import { need } from "./need.js";
import { ask, atHand, compose, gather, looking, nothing, published, purpose, resolve } from "./sources.js";
import { Store, shortage } from "./store.js";

/**
 * @typedef {import("./easel.d.ts").ModelSource} ModelSource
 * @typedef {import("./easel.d.ts").LocalModel} LocalModel
 * @typedef {import("./sources.js").RemoteModel} RemoteModel
 * @typedef {import("./store.js").Watch} Watch
 */

export class Library {
  #settings;
  #seat;
  /** @type {Promise<Store | undefined> | undefined} */
  #store;
  /** What was found out about models, by what they were asked for as. @type {Map<string, Promise<RemoteModel>>} */
  #looked = new Map();

  /** @param {{ base: string, hub: string }} settings @param {import("./seat.js").Seat} seat whose module has the digest */
  constructor(settings, seat) {
    this.#settings = settings;
    this.#seat = seat;
  }

  /** The store of this origin, if the browser has one. */
  store() {
    return (this.#store ??= Store.open(async () => new (await this.#seat.module()).Digest()));
  }

  /** What loading a model takes. @param {ModelSource} model @param {AbortSignal} signal */
  async plan(model, signal) {
    if (typeof model === "string") this.#looked.delete(model);
    const entry = await this.entry(model, signal);
    const here = (await (await this.store())?.summary(entry)) ?? { stored: 0, complete: false };
    const { size, memory, refusal } = await need(entry, this.#seat);
    const full = !given(model) && (await this.store()) ? await shortage(size - here.stored) : undefined;
    return { ...entry, ...here, size, memory, refusal: refusal ?? full };
  }

  /**
   * The files of a model, after those that are missing were fetched, what is known of it, and the bytes of all of them.
   * @param {ModelSource} model @param {import("./easel.d.ts").Use | undefined} use what it has to be for @param {Watch} watch
   * @returns {Promise<{ entry: RemoteModel, size: number, files: [string, Blob][] }>}
   */
  async fetch(model, use, watch) {
    const entry = await this.entry(model, watch.signal);
    if (entry.use !== use) throw error("Unsupported", `${entry.name}: ${otherUse(entry.use, use)}`);
    const { size, refusal } = await need(entry, this.#seat);
    if (refusal) throw error("Unsupported", `${entry.name}: ${refusal}`);
    // What is found out anew next time, if these files turn out to be others than it says.
    if (typeof model === "string") this.#looked.delete(model);
    const files = given(model);
    return { entry, size, files: files ? (await trimmed(files)).files : await this.#fetched(entry, watch) };
  }

  /** Copies files at hand into the store. @param {Exclude<ModelSource, string>} model @param {Watch} watch */
  async keep(model, watch) {
    const files = given(model);
    if (!files) throw error("InvalidRequest", "model: only files at hand are kept; loading keeps those at addresses");
    const store = await this.store();
    if (!store) throw error("ReadError", "this browser has no storage that models could be kept in");
    const { use, ...needed } = await trimmed(files);
    await store.keep(needed, use, watch);
  }

  /** What is known of a model. @param {ModelSource} model @param {AbortSignal} signal @returns {Promise<RemoteModel>} */
  async entry(model, signal) {
    const files = given(model);
    if (files) return local(files);
    if (typeof model === "string") return this.#find(model, signal);
    if ("components" in model) return compose(model, signal);
    return published(/** @type {import("./easel.d.ts").PublishedModel} */ (model), signal);
  }

  /**
   * What is known of a model: from its source, or from the store if the source cannot be reached.
   * @param {string} model @param {AbortSignal} signal @returns {Promise<RemoteModel>}
   */
  async #find(model, signal) {
    const known = await (await this.store())?.entry(model);
    // What came with the page may have come anew with it; all else stays what it was when it was fetched.
    const whole = known?.files.every((/** @type {any} */ file) => file.shards || !file.url);
    // One that was put together from addresses is known by its parts alone.
    const composed = known && !known.url && known.files.some((/** @type {any} */ file) => file.url);
    if (known && (whole || composed) && !known.url?.startsWith(this.#settings.base)) return known;
    try {
      // A plan is followed by loading: what was found out for it is used, once.
      const found = this.#looked.get(model) ?? resolve(known?.url ?? model, this.#settings, signal);
      this.#looked.set(model, found);
      return structuredClone(await found);
    } catch (thrown) {
      this.#looked.delete(model);
      if (known) return known;
      throw thrown;
    }
  }

  /** The files of a model, by way of the store where there is one. @param {any} entry @param {Watch} watch @returns {Promise<[string, Blob][]>} */
  async #fetched(entry, watch) {
    const kept = await this.store();
    if (kept) return kept.open(entry, watch);
    const file = async (/** @type {any} */ { path, url }) => /** @type {[string, Blob]} */ ([path, await (await ask(url, { signal: watch.signal })).blob()]);
    return Promise.all(entry.files.map(file));
  }
}

/** Why a model is not what was asked for. @param {import("./easel.d.ts").Use | undefined} is @param {typeof is} asked */
function otherUse(is, asked) {
  const does = { segmenter: "cuts out of pictures (Segmenter)", classifier: "compares pictures with texts (Classifier)" };
  const wanted = asked ? `one that ${does[asked]}` : "one that draws";
  return `a model that ${is ? does[is] : "draws (Easel), or of an unknown kind"}; expected ${wanted}`;
}

/** The files of a model that was handed over, if it was. @param {ModelSource} model @returns {LocalModel | undefined} */
function given(model) {
  if (typeof model === "string") return undefined;
  if ("components" in model) return gather(model);
  return isLocal(model) ? model : undefined;
}

/** Whether the files of a model are at hand. @param {LocalModel | import("./easel.d.ts").PublishedModel} model @returns {model is LocalModel} */
const isLocal = (model) => Array.isArray(model.files[0]);

/**
 * The files that the model needs, of all that were handed over, and what it is for.
 * @param {LocalModel} model @returns {Promise<LocalModel & { use?: import("./easel.d.ts").Use }>}
 */
async function trimmed({ name, files }) {
  const all = files.map(([path, file]) => ({ path, file }));
  const use = await purpose(all, ({ path, file }) => json(`${name}/${path}`, file));
  const needed = use ? looking(all) : atHand(all);
  if (needed.length === 0) throw error("ModelError", `${name}: ${nothing(all)}`);
  return { name, files: needed.map(({ path, file }) => [path, file]), use };
}

/** @param {string} name @param {Blob} file */
async function json(name, file) {
  try {
    return JSON.parse(await file.text());
  } catch {
    throw error("ModelError", `${name}: not valid JSON`);
  }
}

/** @param {LocalModel} model @returns {Promise<RemoteModel>} */
async function local(model) {
  const { name, files, use } = await trimmed(model);
  return { name, files: files.map(([path, file]) => ({ path, size: file.size })), use };
}
