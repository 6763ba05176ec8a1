// An Easel server in the place of the worker: the same methods, spoken over HTTP in the dialect of AUTOMATIC1111's web UI,
// which carries all that a picture is made from. `fetch` may be anything of its shape.
import { error } from "./error.js";

/** @typedef {import("./easel.d.ts").GenerateOptions} GenerateOptions */
/** @typedef {import("./easel.d.ts").LoadOptions} LoadOptions */

/** Milliseconds between two questions about progress. */
const PAUSE = 400;

export class RemoteEasel {
  /** @type {import("./easel.d.ts").RemoteModel | undefined} */
  loaded;
  #base;
  #fetch;

  /** @param {string | URL} address @param {(url: string, options: RequestInit) => Promise<Response>} [ask] */
  constructor(address, ask = (url, options) => fetch(url, options)) {
    this.#base = `${String(address).replace(/\/+$/, "")}/sdapi/v1/`;
    this.#fetch = ask;
  }

  /** Asks which model the server draws with. @param {LoadOptions} [options] */
  async load({ signal } = {}) {
    const { sd_model_checkpoint: name } = await this.#json("options", { signal });
    this.loaded = { name: String(name ?? "a model"), backend: "server" };
    return this.loaded;
  }

  /** @returns {Promise<string[]>} */
  async schedulers() {
    const samplers = await this.#json("samplers", {});
    return samplers.map((/** @type {{ name: string }} */ { name }) => name);
  }

  /** @param {GenerateOptions} options @returns {Promise<import("./easel.d.ts").Picture>} */
  async generate(options) {
    const { signal } = options;
    signal?.throwIfAborted();
    const started = performance.now();
    const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
    const interrupt = () => this.#post("interrupt", {}).catch(() => {});
    signal?.addEventListener("abort", interrupt);
    const watching = new AbortController();
    this.#watch(options, watching.signal, started);
    try {
      const route = options.initImage ? "img2img" : "txt2img";
      const { images, info } = await this.#post(route, await body(options), seed, signal);
      const image = decode(images[0]);
      const { width, height } = await createImageBitmap(image);
      const parameters = JSON.parse(info).infotexts?.[0] ?? "";
      return { image, width, height, seed, parameters, seconds: (performance.now() - started) / 1000 };
    } finally {
      watching.abort();
      signal?.removeEventListener("abort", interrupt);
    }
  }

  /** Asks for progress until told to stop. @param {GenerateOptions} options @param {AbortSignal} done @param {number} started */
  async #watch({ onProgress, onPreview }, done, started) {
    while (!done.aborted) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      const answer = await this.#json("progress", { signal: done }).catch(() => undefined);
      if (done.aborted || !answer?.state?.sampling_steps) continue;
      const { sampling_step: step, sampling_steps: of } = answer.state;
      onProgress?.({ phase: "denoise", step, of, seconds: (performance.now() - started) / 1000 });
      if (onPreview && answer.current_image) onPreview(await pixels(answer.current_image));
    }
  }

  /** @param {string} route @param {object} content @param {number | bigint} [seed] @param {AbortSignal} [signal] */
  #post(route, content, seed, signal) {
    // A seed has 64 bits, which JSON can spell and a JavaScript number cannot hold.
    const text = JSON.stringify({ ...content, ...(seed === undefined ? {} : { seed: "seed" }) });
    const headers = { "content-type": "application/json" };
    return this.#json(route, { method: "POST", headers, signal, body: text.replace('"seed":"seed"', `"seed":${seed}`) });
  }

  /** @param {string} route @param {RequestInit} options @returns {Promise<any>} */
  async #json(route, options) {
    const url = this.#base + route;
    const response = await this.#fetch(url, options).catch((thrown) => {
      if (options.signal?.aborted) throw thrown;
      throw error("NetworkError", `${url}: no answer, or one that this page may not read (CORS)`);
    });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const reason = answer.detail || answer.errors || answer.error || response.statusText;
    throw error("NetworkError", `${url}: ${response.status} ${typeof reason === "string" ? reason : JSON.stringify(reason)}`);
  }
}

/** The options as the server spells them. @param {GenerateOptions} options */
async function body({ prompt, negativePrompt, steps, guidanceScale, width, height, scheduler, initImage, mask, strength }) {
  return {
    ...{ prompt, negative_prompt: negativePrompt, steps, cfg_scale: guidanceScale, width, height, sampler_name: scheduler },
    ...(initImage && { init_images: [await base64(initImage)], denoising_strength: strength }),
    ...(mask && { mask: await base64(mask) }),
  };
}

/** @param {Blob} file @returns {Promise<string>} */
function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** @param {string} base64 */
function decode(base64) {
  const text = atob(base64.replace(/^data:[^,]*,/, ""));
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
  return new Blob([bytes], { type: "image/png" });
}

/** @param {string} base64 */
async function pixels(base64) {
  const bitmap = await createImageBitmap(decode(base64));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}
