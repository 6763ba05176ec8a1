// The models that look at pictures: which of them are here, and those that are loaded. What they need is fetched when one is
// first used.
import { recall, remember } from "./dom.js";
import { easel } from "./run.js";
import { keepBuild } from "./update.js";

/**
 * @typedef {import("../easel/easel.d.ts").Use} Use
 * @typedef {import("../easel/easel.d.ts").ModelSource} ModelSource
 * @typedef {import("../easel/easel.d.ts").LoadOptions} LoadOptions
 * @typedef {import("../easel/analysis.d.ts").Segmenter} Segmenter
 * @typedef {import("../easel/analysis.d.ts").Classifier} Classifier
 */

/** The name of the visitor's choice. @param {Use} use */
const kept = (use) => `easel-${use}`;

/** Where the models of this visit come from, by name: they need not be kept in this browser. @type {Map<string, ModelSource>} */
const sources = new Map();
/** The workers with their models. @type {{ segmenter?: Segmenter, classifier?: Classifier }} */
const workers = {};

/** The model that would be used, if one is here. @param {Use} use @returns {Promise<string | undefined>} */
export async function chosen(use) {
  const stored = await easel.models().catch(() => []);
  const here = stored.filter((model) => model.use === use && model.complete).map(({ name }) => name);
  const choice = recall(kept(use)) ?? "";
  return here.includes(choice) || sources.has(choice) ? choice : here[0];
}

/**
 * Loads a model, which is used from now on.
 * @param {Use} use @param {string} name @param {ModelSource} source @param {LoadOptions} options
 */
export async function take(use, name, source, options) {
  sources.set(name, source);
  try {
    // Other files may have had the same name.
    (await start(use)).unload();
    await load(use, name, options);
  } catch (thrown) {
    sources.delete(name);
    throw thrown;
  }
  remember(kept(use), name);
}

/** Forgets a model that was deleted. @param {string} name */
export const forget = (name) => void sources.delete(name);

/** A segmenter that is loaded. @param {string} name @param {LoadOptions} options @returns {Promise<Segmenter>} */
export const segmenter = async (name, options) => /** @type {Segmenter} */ (await load("segmenter", name, options));

/** A classifier that is loaded. @param {string} name @param {LoadOptions} options @returns {Promise<Classifier>} */
export const classifier = async (name, options) => /** @type {Classifier} */ (await load("classifier", name, options));

/** @param {Use} use @param {string} name @param {LoadOptions} options @returns {Promise<Segmenter | Classifier>} */
async function load(use, name, options) {
  const worker = await start(use);
  if (worker.loaded?.name !== name) {
    await worker.load(sources.get(name) ?? name, options);
    keepBuild("analysis/", worker.loaded);
  }
  return worker;
}

/** @param {Use} use @returns {Promise<Segmenter | Classifier>} */
async function start(use) {
  const { Classifier, Segmenter } = await import("../easel/analysis.js");
  if (use === "segmenter") return (workers.segmenter ??= new Segmenter());
  return (workers.classifier ??= new Classifier());
}

/** Frees their memory. */
export function free() {
  workers.segmenter?.unload();
  workers.classifier?.unload();
}
