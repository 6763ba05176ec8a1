// Locates a model's files: next to the page, on the hub, or at any address. Nothing here fetches weights.
import { error } from "./error.js";

/**
 * A file to fetch. `sha256` is its owner's digest; `modified` stands in for it where there is none; `url` is missing for
 * files that came from the visitor's disk.
 * @typedef {{ path: string, size: number, url?: string, sha256?: string, modified?: string }} RemoteFile
 * @typedef {{ steps: number, guidanceScale: number }} Sampling
 * @typedef {import("./easel.d.ts").Use} Use
 * @typedef {{ name: string, url?: string, files: RemoteFile[], usual?: Sampling, use?: Use, refusal?: string }} RemoteModel
 */

const CHECKPOINT = /\.(safetensors|gguf|ckpt|pt|pth)$/;
/** Pipelines of diffusers whose models can be run. */
const FAMILIES = /^((StableDiffusion(XL|3)?|Flux)(Img2Img|Inpaint)?|LatentConsistencyModel(Img2Img)?)Pipeline$/;
/** The parts of all families' models, by the names of their folders. */
const PARTS = ["scheduler", "text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3", "transformer", "unet", "vae"];
/** What models are for that look at pictures, by the `model_type` of their `config.json`. @type {Record<string, Use>} */
const USES = { sam: "segmenter", clip: "classifier" };
/** How original checkpoints of SAM are called. */
const SAM = /^(mobile_sam|sam_vit_)/i;
/** What belongs to a model that looks at pictures, beside its weights. */
const DOCUMENTS = ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];
const REPOSITORY = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/**
 * Finds the model of a name or an address.
 * @param {string} model @param {{ base: string, hub: string }} settings @param {AbortSignal} [signal]
 * @returns {Promise<RemoteModel>}
 */
export async function resolve(model, { base, hub }, signal) {
  const onHub = model.startsWith(`${hub}/`) ? model.slice(hub.length + 1).split("/").slice(0, 2).join("/") : model;
  const isFile = CHECKPOINT.test(new URL(model, base).pathname);
  if (REPOSITORY.test(onHub) && !isFile) return repository(onHub, hub, signal);
  if (model && !model.includes("/")) return manifest(new URL(`${model}/manifest.json`, base), signal);
  const url = address(model);
  if (url.pathname.endsWith(".json")) return manifest(url, signal);
  if (isFile) return checkpoint(url, signal);
  throw error("InvalidRequest", `model: ${model} is no known name, hub repository, checkpoint or manifest.json`);
}

/** @param {string} text */
function address(text) {
  try {
    const url = new URL(text);
    if (/^https?:$/.test(url.protocol)) return url;
  } catch {
    // Reported below.
  }
  throw error("InvalidRequest", `model: "${text}" is no address that begins with https://`);
}

/**
 * A list of files with sizes and digests, whose paths are relative to the list.
 * @param {URL} url @param {AbortSignal} [signal] @returns {Promise<RemoteModel>}
 */
async function manifest(url, signal) {
  const { name, files, usual } = await json(url, signal);
  const valid = (/** @type {any} */ file) => typeof file?.path === "string" && Number.isSafeInteger(file.size);
  if (typeof name !== "string" || !Array.isArray(files) || !files.every(valid)) {
    throw error("ModelError", `${url}: expected a name and files, each with path and size`);
  }
  const located = files.map((file) => ({ ...file, url: String(new URL(file.path, url)) }));
  return { name, url: String(url), files: located, usual, use: await purpose(located, at(signal)) };
}

/**
 * A model whose files are at addresses that its package knows.
 * @param {import("./easel.d.ts").PublishedModel} model @param {AbortSignal} [signal] @returns {Promise<RemoteModel>}
 */
export async function published({ name, files, usual }, signal) {
  const valid = (/** @type {any} */ file) => typeof file?.path === "string" && Number.isSafeInteger(file.size) && file.url;
  if (typeof name !== "string" || !Array.isArray(files) || files.length === 0 || !files.every(valid)) {
    throw error("InvalidRequest", "model: expected a name and files, each with path, size and url, or as [path, File]");
  }
  const located = files.map(({ path, size, sha256, url }) => ({ path, size, sha256, url: String(url) }));
  return { name, files: located, usual, use: await purpose(located, at(signal)) };
}

/** Reads JSON from where a file is. @param {AbortSignal} [signal] @returns {(file: RemoteFile) => Promise<any>} */
const at = (signal) => ({ url }) => json(new URL(url ?? ""), signal);

/**
 * One file, whose digest may be told in the address: `#sha256=...`.
 * @param {URL} url @param {AbortSignal} [signal] @returns {Promise<RemoteModel>}
 */
async function checkpoint(url, signal) {
  const file = await remote(url, signal);
  const files = [file];
  return { name: file.path.replace(CHECKPOINT, ""), url: file.url, files, use: await purpose(files, at(signal)) };
}

/** What a server says of one file. @param {URL} url @param {AbortSignal} [signal] @returns {Promise<RemoteFile>} */
async function remote(url, signal) {
  const sha256 = url.hash.match(/^#sha256=([0-9a-f]{64})$/i)?.[1].toLowerCase();
  url.hash = "";
  const response = await ask(url, { method: "HEAD", signal });
  const size = Number(response.headers.get("content-length"));
  if (!size) throw error("NetworkError", `${url}: the server does not say how long the file is`);
  const path = decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
  const version = response.headers.get("last-modified") ?? response.headers.get("etag") ?? undefined;
  return { path, size, sha256, modified: sha256 ? undefined : version, url: String(url) };
}

/** @typedef {import("./easel.d.ts").ComposedModel} ComposedModel */

/**
 * The files of a model that is put together from parts that are at hand, each in a folder that is named for its part;
 * `undefined` if they are at addresses.
 * @param {ComposedModel} model @returns {import("./easel.d.ts").LocalModel | undefined}
 */
export function gather(model) {
  const parts = checked(model);
  const addresses = parts.filter(([, part]) => typeof part === "string");
  if (addresses.length === parts.length) return undefined;
  if (addresses.length > 0) {
    throw error("InvalidRequest", `components: ${addresses[0][0]} is at an address and others are files; give all of them in one way`);
  }
  /** @type {[string, Blob][]} */
  const files = [];
  for (const [name, part] of parts) {
    if (Array.isArray(part)) files.push(...part.map(([path, file]) => /** @type {[string, Blob]} */ ([`${name}/${path}`, file])));
    else if (part instanceof Blob) files.push([`${name}/${fileName(name, part)}`, part]);
  }
  return { name: model.name, files };
}

/** The name of a part that is one file. @param {string} part @param {Blob} file */
function fileName(part, file) {
  if (part.startsWith("tokenizer")) return "tokenizer.json";
  return file instanceof File && CHECKPOINT.test(file.name) ? file.name : "model.safetensors";
}

/**
 * The same for parts at addresses: nothing of them is fetched yet.
 * @param {ComposedModel} model @param {AbortSignal} [signal] @returns {Promise<RemoteModel>}
 */
export async function compose(model, signal) {
  const files = await Promise.all(checked(model).map(async ([name, part]) => {
    const file = await remote(address(/** @type {string} */ (part)), signal);
    return { ...file, path: `${name}/${name.startsWith("tokenizer") ? "tokenizer.json" : file.path}` };
  }));
  return { name: model.name, files };
}

/** The parts of a model, if they can be one. @param {ComposedModel} model */
function checked({ name, components }) {
  const parts = Object.entries(components ?? {});
  const odd = parts.find(([part]) => !PARTS.includes(part));
  if (odd) throw error("InvalidRequest", `components: no part is called "${odd[0]}"; there are ${PARTS.join(", ")}`);
  if (!components.transformer && !components.unet) {
    throw error("InvalidRequest", `components: neither transformer nor unet; one of them says what ${name} is`);
  }
  return parts;
}

/**
 * A repository of the Hugging Face hub: its diffusers folder if it has one, a model that looks at pictures, or its only
 * checkpoint.
 * @param {string} id @param {string} hub @param {AbortSignal} [signal] @returns {Promise<RemoteModel>}
 */
async function repository(id, hub, signal) {
  const tree = await json(new URL(`${hub}/api/models/${id}/tree/main?recursive=true`), signal);
  /** @type {RemoteFile[]} */
  const all = tree
    .filter((/** @type {any} */ entry) => entry.type === "file")
    .map((/** @type {any} */ { path, size, lfs }) => ({
      path,
      size: lfs?.size ?? size,
      sha256: lfs?.oid,
      url: `${hub}/${id}/resolve/main/${path.split("/").map(encodeURIComponent).join("/")}`,
    }));
  const index = all.find(({ path }) => path === "model_index.json");
  const use = await purpose(all, at(signal));
  const files = use ? looking(all) : select(all);
  if (files.length === 0) throw error("ModelError", `${id}: ${nothing(all)}`);
  const family = index && (await json(new URL(index.url ?? ""), signal))._class_name;
  const refusal = family && !FAMILIES.test(family) ? `a ${family} cannot be run here` : undefined;
  return { name: id, url: `${hub}/${id}`, files, use, refusal };
}

/**
 * What a model is for, if it does not draw: as its configuration says, or the name of an original checkpoint of SAM.
 * @template {{ path: string }} T @param {T[]} all @param {(file: T) => Promise<any>} read reads JSON
 * @returns {Promise<Use | undefined>}
 */
export async function purpose(all, read) {
  if (all.some(({ path }) => path === "model_index.json")) return undefined;
  const config = all.find(({ path }) => path === "config.json");
  if (config) return USES[(await read(config))?.model_type];
  return original(all).length > 0 ? "segmenter" : undefined;
}

/**
 * The files that a model needs which looks at pictures.
 * @template {{ path: string }} T @param {T[]} all @returns {T[]}
 */
export function looking(all) {
  if (!all.some(({ path }) => path === "config.json")) return original(all);
  const hasTokenizer = all.some(({ path }) => path === "tokenizer.json");
  const documents = hasTokenizer ? DOCUMENTS : [...DOCUMENTS, "vocab.json", "merges.txt"];
  return all.filter(({ path }) => documents.includes(path)).concat(weights(all, ""));
}

/** The original checkpoint of a SAM; other programs' may lie beside MobileSAM's. @template {{ path: string }} T @param {T[]} all */
function original(all) {
  const mobile = all.filter(({ path }) => path === "mobile_sam.pt");
  return mobile.length > 0 ? mobile : single(all).filter(({ path }) => SAM.test(path));
}

/**
 * The files of a folder that a model needs; an empty list if it holds no model.
 * @template {{ path: string }} T @param {T[]} all @returns {T[]}
 */
export function select(all) {
  return all.some(({ path }) => path === "model_index.json") ? folder(all) : single(all);
}

/**
 * The same of files at hand, where all checkpoints are parts of the model that was chosen, as is what lies in folders that are
 * named for parts. One in a safe format comes before one of the same name in another.
 * @template {{ path: string }} T @param {T[]} all @returns {T[]}
 */
export function atHand(all) {
  if (all.some(({ path }) => path === "model_index.json")) return folder(all);
  const safe = all.filter(({ path }) => /\.safetensors$/.test(path)).map(({ path }) => path.replace(CHECKPOINT, ""));
  const isDouble = (/** @type {string} */ path) => /\.(ckpt|pt|pth)$/.test(path) && safe.includes(path.replace(CHECKPOINT, ""));
  const files = all.filter(({ path }) => {
    const [part, name, more] = path.split("/");
    if (isDouble(path) || more) return false;
    return name ? PARTS.includes(part) && (CHECKPOINT.test(name) || /\.(json|txt)$/.test(name)) : CHECKPOINT.test(path);
  });
  return files.some(({ path }) => CHECKPOINT.test(path)) ? files : [];
}

/** Every component's documents, and its weights in the smallest type. @template {{ path: string }} T @param {T[]} all */
function folder(all) {
  const documents = all.filter(({ path }) => {
    const [part, name, more] = path.split("/");
    return path === "model_index.json" || (PARTS.includes(part) && name && !more && /\.(json|txt)$/.test(name));
  });
  return documents.filter(({ path }) => !path.includes(".index.")).concat(PARTS.flatMap((part) => weights(all, `${part}/`)));
}

/** @template {{ path: string }} T @param {T[]} all @param {string} folder with a slash at its end, or nothing */
function weights(all, folder) {
  const here = all.filter(({ path }) => path.startsWith(folder) && !path.slice(folder.length).includes("/"));
  const named = (/** @type {RegExp} */ pattern) => here.filter(({ path }) => pattern.test(path));
  for (const [middle, end] of [[".fp16", "safetensors"], ["", "safetensors"], [".fp16", "bin"], ["", "bin"]]) {
    const variant = middle.replace(".", "\\.");
    const whole = named(new RegExp(`(^|/)(diffusion_pytorch_model|model|pytorch_model)${variant}\\.${end}$`));
    if (whole.length > 0) return whole.slice(0, 1);
    const shards = named(new RegExp(`${variant}-\\d+-of-\\d+${variant}?\\.${end}$|\\.${end}\\.index${variant}\\.json$`));
    if (shards.some(({ path }) => path.endsWith(".json"))) return shards;
  }
  return [];
}

/** @template {{ path: string }} T @param {T[]} all */
function single(all) {
  const checkpoints = all.filter(({ path }) => !path.includes("/") && CHECKPOINT.test(path));
  const safe = checkpoints.filter(({ path }) => path.endsWith(".safetensors"));
  return safe.length === 1 ? safe : checkpoints.length === 1 ? checkpoints : [];
}

/** Why files are no model. @param {{ path: string }[]} all */
export function nothing(all) {
  const count = all.filter(({ path }) => CHECKPOINT.test(path)).length;
  const more = count > 1 ? `; of its ${count} checkpoints, choose one` : "";
  return `neither a diffusers folder nor one checkpoint${more}`;
}

/** @param {URL} url @param {AbortSignal} [signal] */
async function json(url, signal) {
  const response = await ask(url, { signal });
  try {
    return await response.json();
  } catch {
    throw error("ModelError", `${url}: not valid JSON`);
  }
}

/**
 * `fetch` whose failures say the address and the reason.
 * @param {string | URL} url @param {RequestInit} options
 */
export async function ask(url, options) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(url, options);
  } catch (thrown) {
    if (options.signal?.aborted) throw thrown;
    const reason = navigator.onLine ? "no answer, or one that other sites may not read (CORS)" : "offline";
    throw error("NetworkError", `${url}: ${reason}`);
  }
  if (!response.ok) throw error("NetworkError", `${url}: ${response.status} ${response.statusText}`.trimEnd());
  return response;
}
