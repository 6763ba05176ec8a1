// An Easel server in the place of the worker: the same methods, spoken over the HTTP interface. A picture from words alone
// is a task whose events are followed; a picture from a picture is one request, and so is one with a mask, in the words of
// AUTOMATIC1111's interface. `fetch` may be anything of its shape.
import { error } from "./error.js";
import { check } from "./options.js";
import { withOverall } from "./overall.js";

/** @typedef {import("./easel.d.ts").RemoteEasel} Declared */
/** @typedef {import("./easel.d.ts").GenerateOptions} GenerateOptions */
/** @typedef {import("./easel.d.ts").LoadOptions} LoadOptions */
/** @typedef {(url: string, options: RequestInit) => Promise<Response>} Fetch */

/** Milliseconds before each attempt to follow a task again whose events broke off: it goes on without its listener. */
const PAUSES = [250, 1000, 3000];
/** The most connections for one task, however far each of them brings it. */
const CONNECTIONS = 100;
/** How far to go from a picture with a mask if nothing is said: as far as the page's own models go. */
const STRENGTH_WITH_MASK = 1;

/** @implements {Declared} */
export class RemoteEasel {
  /** @type {import("./easel.d.ts").RemoteModel | undefined} */
  loaded;
  #base;
  #fetch;

  /** @param {string | URL} address @param {Fetch} [ask] */
  constructor(address, ask = (url, options) => fetch(url, options)) {
    this.#base = String(address).replace(/\/+$/, "");
    this.#fetch = ask;
  }

  /** Asks for the server's health. @param {LoadOptions} [options] */
  async load({ signal } = {}) {
    await this.#ask("/health", { signal });
    this.loaded = { name: this.#base.replace(/^https?:\/\//, ""), backend: "server" };
    return this.loaded;
  }

  /** @param {LoadOptions} [options] @returns {Promise<import("./easel.d.ts").ServerDevice[]>} */
  async devices({ signal } = {}) {
    const { devices } = await (await this.#ask("/pipeline/devices", { signal })).json();
    return devices;
  }

  /** @param {GenerateOptions} options @returns {Promise<import("./easel.d.ts").Picture>} */
  async generate(options) {
    check(options);
    const { signal, initImage, mask } = options;
    signal?.throwIfAborted();
    if (mask && !initImage) throw error("InvalidRequest", "mask: a mask needs an initial image");
    const started = performance.now();
    const seed = options.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
    const base64 = await (mask ? this.#redraw(options, seed) : initImage ? this.#imagine(options, seed, initImage) : this.#task(options, seed));
    const image = decode(base64, "image/png");
    const { width, height } = await createImageBitmap(image);
    return { image, width, height, seed, seconds: (performance.now() - started) / 1000 };
  }

  /** @param {GenerateOptions} options @param {number | bigint} seed @param {Blob} picture @returns {Promise<string>} */
  async #imagine({ prompt, negativePrompt, width, height, steps, guidanceScale, strength, signal }, seed, picture) {
    const asked = { prompt, negative_prompt: negativePrompt, W: width, H: height, ddim_steps: steps, scale: guidanceScale };
    const body = json({ ...asked, init_image: await encode(picture), strength, seed });
    const response = await this.#ask("/imagine", { ...body, signal });
    return (await response.json())[0];
  }

  /** Draws a picture anew where the mask is white. @param {GenerateOptions} options @param {number | bigint} seed @returns {Promise<string>} */
  async #redraw({ prompt, negativePrompt, width, height, steps, guidanceScale, strength = STRENGTH_WITH_MASK, signal, initImage, mask }, seed) {
    const asked = { prompt, negative_prompt: negativePrompt, width, height, steps, cfg_scale: guidanceScale, denoising_strength: strength };
    const [picture, where] = await Promise.all([encode(/** @type {Blob} */ (initImage)), encode(/** @type {Blob} */ (mask))]);
    const body = json({ ...asked, init_images: [picture], mask: where, seed });
    const response = await this.#ask("/sdapi/v1/img2img", { ...body, signal });
    return (await response.json()).images[0];
  }

  /** @param {GenerateOptions} options @param {number | bigint} seed @returns {Promise<string>} */
  async #task({ prompt, negativePrompt, width, height, steps, guidanceScale, signal, onProgress, onPreview }, seed) {
    const asked = { prompt, negative_prompt: negativePrompt, width, height, steps, guidance_scale: guidanceScale };
    const response = await this.#ask("/generate", { ...json({ ...asked, seed }), signal });
    const { task_id } = await response.json();
    const cancel = () => this.#ask("/cancel-generation", json({ task_id })).catch(() => {});
    signal?.addEventListener("abort", cancel);
    const started = performance.now();
    const report = withOverall("generate", onProgress);
    const hear = async (/** @type {any} */ { step, steps: of, preview }) => {
      if (of) report?.({ phase: "denoise", step, of, seconds: (performance.now() - started) / 1000 });
      if (preview) onPreview?.(await pixels(preview));
    };
    try {
      return await this.#follow(`/generate-stream/${task_id}${onPreview ? "?preview=1" : ""}`, hear, signal);
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /**
   * The picture of a task whose events are heard to their end, over several connections if one breaks.
   * @param {string} route @param {(event: any) => Promise<void>} hear @param {AbortSignal} [signal] @returns {Promise<string>}
   */
  async #follow(route, hear, signal) {
    const broken = (/** @type {Error} */ thrown) => {
      throw signal?.aborted ? thrown : error("NetworkError", `${this.#base}: the connection broke (${thrown.message})`);
    };
    /** Why the connection broke: that no other can be made says less. @type {unknown} */
    let first;
    let furthest = -1;
    for (let [attempt, connection] = [0, 1]; ; attempt++, connection++) {
      try {
        for await (const event of serverSent(await this.#ask(route, { signal }), broken)) {
          const { status, result, error: reason } = event;
          if (status === "completed") return result.image_url;
          if (status === "cancelled") throw error("AbortError", "cancelled");
          if (status === "error") throw error("ServerError", reason ?? "the server failed");
          // A connection that brings the picture further counts as the first again.
          if (event.step > furthest) {
            furthest = event.step;
            attempt = 0;
            first = undefined;
          }
          await hear(event);
        }
        throw error("NetworkError", `${this.#base}: the events ended before the picture came`);
      } catch (thrown) {
        const pause = PAUSES[attempt];
        first ??= thrown;
        if (/** @type {Error} */ (thrown).name !== "NetworkError" || signal?.aborted) throw thrown;
        if (pause === undefined || connection >= CONNECTIONS) throw first;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  /** @param {string} route @param {RequestInit} options */
  async #ask(route, options) {
    const url = this.#base + route;
    const response = await this.#fetch(url, options).catch((thrown) => {
      if (options.signal?.aborted) throw thrown;
      throw error("NetworkError", `${url}: no answer, or one that this page may not read (CORS)`);
    });
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    throw error("ServerError", `${url}: ${response.status} ${reason(answer) ?? response.statusText}`);
  }
}

/** A server's error in one line. @param {any} answer @returns {string | undefined} */
function reason({ message, detail, error }) {
  const said = message ?? detail ?? error;
  if (Array.isArray(said)) return said.map(({ loc, msg }) => `${loc?.at(-1)}: ${msg}`).join("; ");
  return typeof said === "object" ? JSON.stringify(said) : said;
}

/** A body of JSON. A seed has 64 bits, which JSON can spell and a JavaScript number cannot hold. @param {object} content @returns {RequestInit} */
function json(content) {
  const body = JSON.stringify(content, (_, value) => (typeof value === "bigint" ? `bigint:${value}` : value));
  const headers = { "content-type": "application/json", accept: "application/json" };
  return { method: "POST", headers, body: body.replace(/"seed":"bigint:(\d+)"/, '"seed":$1') };
}

/** The data of server-sent events. @param {Response} response @param {(thrown: Error) => never} broken */
async function* serverSent(response, broken) {
  if (!response.body) return;
  let text = "";
  const decoder = new TextDecoder();
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read().catch(broken);
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const events = text.split(/\r?\n\r?\n/);
    text = events.pop() ?? "";
    for (const event of events) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length > 0) yield JSON.parse(data.join("\n"));
    }
  }
}

/** @param {Blob} file @returns {Promise<string>} */
function encode(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** @param {string} base64 @param {string} type */
function decode(base64, type) {
  const text = atob(base64.replace(/^data:[^,]*,/, ""));
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
  return new Blob([bytes], { type });
}

/** @param {string} base64 */
async function pixels(base64) {
  const bitmap = await createImageBitmap(decode(base64, "image/jpeg"));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}
