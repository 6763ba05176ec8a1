// The page: from the form to pictures.
import { Easel, RemoteEasel } from "../easel/easel.js";
import * as device from "./device.js";
import { $, bytes, download, fileName, recall, remember, say } from "./dom.js";
import * as files from "./files.js";
import * as form from "./form.js";
import * as gallery from "./gallery.js";
import * as models from "./models.js";
import * as stage from "./stage.js";
import * as startPicture from "./start-picture.js";

/** @typedef {import("../easel/easel.d.ts").Settings} Settings */

const easel = new Easel();
/** The server that draws, if the visitor chose one. @type {RemoteEasel | undefined} */
let server;
/**
 * The model that is being loaded. A request for the same model waits for it; a request for another one ends it.
 * @type {{ name: string, controller: AbortController, done: Promise<unknown> } | undefined}
 */
let loading;
/** Stops the run in progress. @type {AbortController | undefined} */
let running;
/** The picture on the stage. @type {{ image: Blob, settings: Settings } | undefined} */
let current;

/** Loads the model of the form, unless it is loaded already. @param {AbortSignal} signal */
async function load(signal) {
  if (form.server()) return connect(form.server(), signal);
  server = undefined;
  easel.backend = form.backend();
  const name = form.model();
  if (loading && loading.name !== name) loading.controller.abort();
  await Promise.race([loading?.done.catch(() => {}), aborted(signal)]);
  signal.throwIfAborted();
  if (easel.loaded?.name === name) return;
  const controller = new AbortController();
  const ended = AbortSignal.any([signal, controller.signal]);
  const done = easel.load(models.source(name), { signal: ended, onProgress: stage.progress });
  const own = (loading = { name, controller, done });
  try {
    await done;
  } finally {
    if (loading === own) loading = undefined;
  }
  device.line(easel.loaded);
  $("cost").textContent = "";
  if (easel.loaded) form.defaults(easel.loaded.defaults);
  keepBuild();
  form.schedulers(await easel.schedulers());
}

/** @param {AbortSignal} signal */
const aborted = (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve));

/** Asks the service worker to keep the module's build that is used here, for visits without a network. */
async function keepBuild() {
  const build = (easel.loaded?.threads ?? 1) > 1 ? "threads" : "wasm";
  (await navigator.serviceWorker?.ready)?.active?.postMessage({ build });
}

/** Finds out what a server draws with. @param {string} address @param {AbortSignal} signal */
async function connect(address, signal) {
  server = new RemoteEasel(address);
  device.line(await server.load({ signal }));
}

/**
 * Runs a long task, one at a time, with progress and until it is cancelled.
 * @param {number} pictures @param {(signal: AbortSignal) => Promise<string>} task returns the text for its end
 * @returns {Promise<boolean>} whether it finished
 */
async function work(pictures, task) {
  if (running) {
    say("One thing at a time: wait for the task in progress, or cancel it");
    return false;
  }
  let done = true;
  running = new AbortController();
  working(true);
  stage.begin(pictures);
  $("stage").scrollIntoView({ block: "nearest" });
  try {
    stage.end(await task(running.signal));
  } catch (error) {
    failed(/** @type {Error} */ (error));
    done = false;
  }
  running = undefined;
  working(false);
  return done;
}

function draw() {
  const count = form.count();
  return work(count, async (signal) => {
    await load(signal);
    if (!form.keepsSeed() && current) form.reroll();
    const request = { ...form.read(), ...(await startPicture.read()) };
    for (let k = 0; k < count; k++) {
      stage.next(k);
      await one({ ...request, seed: form.following(request.seed, k) }, signal);
    }
    return count === 1 ? `Drawn in ${lastSeconds.toFixed(1)} s` : `${count} pictures drawn`;
  });
}

/** Switches to another model, and fetches it if necessary; `false` if that fails. @param {string} name */
async function choose(name) {
  const before = form.model();
  const chosen = await work(1, async (signal) => {
    models.options(name);
    form.follow();
    // Other files may have had the same name.
    if (typeof models.source(name) !== "string") easel.unload();
    await load(signal);
    await models.list();
    return `${name} is ready`;
  });
  if (!chosen) models.options(before);
  form.keep();
  return chosen;
}

let lastSeconds = 0;

/** @param {ReturnType<typeof form.read> & Awaited<ReturnType<typeof startPicture.read>>} request @param {AbortSignal} signal */
async function one(request, signal) {
  const options = { ...request, signal, onProgress: stage.progress, onPreview: stage.preview, onWarning: say };
  const { image, width, height, seconds } = await (server ?? easel).generate(options);
  const settings = (await easel.readSettings(image)) ?? { prompt: request.prompt };
  current = { image, settings };
  lastSeconds = seconds;
  await stage.show(image, request.prompt);
  await gallery.add({ image, width, height, seconds, settings });
}

/** Says what went wrong and what to try. @param {Error} error */
function failed(error) {
  device.line(easel.loaded);
  if (error.name === "AbortError") return stage.end("Cancelled");
  stage.end("Stopped");
  const known = /** @type {Record<string, string>} */ ({
    OutOfMemory: "Out of memory. Its memory has been freed: try a smaller picture, or a smaller model.",
    DeviceLost: "The graphics device keeps getting lost. The next picture starts it again; WebAssembly may be steadier here.",
  });
  say(known[error.name] ?? error.message);
}

/** @param {boolean} is */
function working(is) {
  $("generate", HTMLButtonElement).disabled = is;
  $("cancel").hidden = $("stop").hidden = !is;
  $("paper").ariaBusy = String(is);
  if (is) $("cancel").focus();
  else if (document.activeElement === document.body) $("generate").focus();
}

/** Says how much the first picture will fetch; loads a model that needs no fetching. */
async function prepare() {
  const name = form.model();
  if (form.server() || running) return;
  easel.backend = form.backend();
  if (easel.loaded?.name === name) return;
  try {
    const plan = await easel.plan(models.source(name));
    const missing = plan.size - plan.stored;
    $("cost").textContent = plan.refusal ?? (plan.complete || !plan.url ? "" : `${bytes(missing)} to fetch once`);
    if (plan.complete && !plan.refusal) await load(new AbortController().signal);
  } catch {
    // Drawing will report the error.
  }
  device.line(easel.loaded);
  if (!running) stage.end("");
}

/** A picture that was dropped or pasted: restores its settings if it has any, else starts from it. @param {Blob} file */
async function takePicture(file) {
  const settings = await easel.readSettings(file).catch(() => undefined);
  if (!settings) return startPicture.use(file);
  restore(settings, { label: "Start from this picture", run: () => startPicture.use(file) });
}

/** @param {Settings} settings @param {Parameters<typeof say>[1]} [action] a button beside the message */
function restore(settings, action) {
  form.restore(settings);
  const select = $("model", HTMLSelectElement);
  const has = [...select.options].some(({ value }) => value === settings.model);
  if (settings.model && has) select.value = settings.model;
  const missing = settings.model && !has ? `, but the model ${settings.model} is not in this browser` : "";
  if (missing || action) say(`Settings restored${missing}`, action);
  $("prompt").focus();
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    draw();
  });
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $("form", HTMLFormElement).requestSubmit();
  });
  $("cancel").onclick = $("stop").onclick = () => running?.abort();
  addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && !document.querySelector("dialog[open]")) running?.abort();
  });
  $("place").onchange = () => {
    form.place();
    prepare();
  };
  $("reroll").onclick = form.reroll;
  $("model").onchange = () => {
    form.follow();
    prepare();
  };
  $("actions").onclick = ({ target }) => {
    const { action } = /** @type {HTMLElement} */ (target).dataset;
    if (!current || !action) return;
    if (action === "download") download(current.image, fileName(current.settings.prompt, current.settings.seed ?? 0));
    if (action === "start") startPicture.use(current.image);
    if (action === "variation") {
      restore(current.settings);
      form.set("keepSeed", false);
      draw();
    }
  };
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog")?.close());
  }
}

/** Colours: as the system, light, dark. */
function theme() {
  const modes = { "light dark": "as the system", light: "light", dark: "dark" };
  const names = Object.keys(modes);
  const show = (/** @type {string} */ mode) => {
    document.documentElement.style.colorScheme = mode;
    $("theme").ariaLabel = `Colours: ${modes[/** @type {keyof typeof modes} */ (mode)]}`;
  };
  show(recall("easel-theme") ?? names[0]);
  $("theme").onclick = () => {
    const mode = names[(names.indexOf(document.documentElement.style.colorScheme) + 1) % names.length];
    remember("easel-theme", mode);
    show(mode);
  };
}

/** Example prompts. */
function examples() {
  $("examples").onclick = ({ target }) => {
    if (!(target instanceof HTMLButtonElement)) return;
    form.set("prompt", target.textContent);
    $("form", HTMLFormElement).requestSubmit();
  };
}

async function main() {
  theme();
  const model = form.start();
  listen();
  examples();
  startPicture.start(form.shape);
  files.start({ picture: takePicture, model: (name, list) => models.use({ name, files: list }) });
  navigator.serviceWorker?.register("sw.js").catch(() => {});
  await gallery.start({ reuse: ({ settings }) => restore(settings), start: ({ image }) => startPicture.use(image) });
  await device.start(easel, models.list);
  await models.start(easel, choose);
  models.options(model);
  await prepare();
}

main();
