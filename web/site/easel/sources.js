// Where a model's files are: beside the page, on the hub, or at any address. Nothing here fetches weights.
import { error } from "./error.js";

/**
 * A file to fetch. `sha256` is its owner's digest; `modified` stands in for it where there is none; `url` is missing for
 * files that came from the visitor's disk.
 * @typedef {{ path: string, size: number, url?: string, sha256?: string, modified?: string }} RemoteFile
 * @typedef {{ steps: number, guidanceScale: number }} Usual
 * @typedef {{ name: string, url?: string, files: RemoteFile[], usual?: Usual, refusal?: string }} RemoteModel
 */

const CHECKPOINT = /\.(safetensors|gguf|ckpt|pt|pth)$/;
/** Pipelines of diffusers whose models can be run. */
const FAMILIES = /^(StableDiffusion(XL)?(Img2Img|Inpaint)?|LatentConsistencyModel(Img2Img)?)Pipeline$/;
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
  return { name, url: String(url), files: located, usual };
}

/**
 * One file, whose digest may be told in the address: `#sha256=...`.
 * @param {URL} url @param {AbortSignal} [signal] @returns {Promise<RemoteModel>}
 */
async function checkpoint(url, signal) {
  const sha256 = url.hash.match(/^#sha256=([0-9a-f]{64})$/i)?.[1].toLowerCase();
  url.hash = "";
  const response = await ask(url, { method: "HEAD", signal });
  const size = Number(response.headers.get("content-length"));
  if (!size) throw error("NetworkError", `${url}: the server does not say how long the file is`);
  const path = decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
  const version = response.headers.get("last-modified") ?? response.headers.get("etag") ?? undefined;
  const file = { path, size, sha256, modified: sha256 ? undefined : version, url: String(url) };
  return { name: path.replace(CHECKPOINT, ""), url: String(url), files: [file] };
}

/**
 * A repository of the Hugging Face hub: its diffusers folder if it has one, else its only checkpoint.
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
  const files = select(all);
  if (files.length === 0) throw error("ModelError", `${id}: ${nothing(all)}`);
  const family = index && (await json(new URL(index.url ?? ""), signal))._class_name;
  const refusal = family && !FAMILIES.test(family) ? `a ${family} cannot be run here` : undefined;
  return { name: id, url: `${hub}/${id}`, files, refusal };
}

/**
 * The files of a folder that a model needs; an empty list if it holds no model.
 * @template {{ path: string }} T @param {T[]} all @returns {T[]}
 */
export function select(all) {
  return all.some(({ path }) => path === "model_index.json") ? folder(all) : single(all);
}

/** Every component's documents, and its weights in the smallest type. @template {{ path: string }} T @param {T[]} all */
function folder(all) {
  const parts = ["scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae"];
  const documents = all.filter(({ path }) => {
    const [part, name, more] = path.split("/");
    return path === "model_index.json" || (parts.includes(part) && name && !more && /\.(json|txt)$/.test(name));
  });
  return documents.filter(({ path }) => !path.includes(".index.")).concat(parts.flatMap((part) => weights(all, part)));
}

/** @template {{ path: string }} T @param {T[]} all @param {string} part */
function weights(all, part) {
  const here = all.filter(({ path }) => path.startsWith(`${part}/`) && path.split("/").length === 2);
  const named = (/** @type {RegExp} */ pattern) => here.filter(({ path }) => pattern.test(path));
  for (const [middle, end] of [[".fp16", "safetensors"], ["", "safetensors"], [".fp16", "bin"], ["", "bin"]]) {
    const variant = middle.replace(".", "\\.");
    const whole = named(new RegExp(`/(diffusion_pytorch_model|model|pytorch_model)${variant}\\.${end}$`));
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
