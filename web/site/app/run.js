// Runs: loading a model and drawing with it, one at a time, with progress, until they end, fail or are cancelled.
import { Easel, RemoteEasel } from "../easel/easel.js";
import * as batch from "./batch.js";
import * as device from "./device.js";
import { $, brief, bytes, say } from "./dom.js";
import * as form from "./form.js";
import * as gallery from "./gallery.js";
import * as live from "./live.js";
import * as looking from "./looking.js";
import * as models from "./models.js";
import * as presets from "./presets.js";
import * as select from "./select.js";
import * as stage from "./stage.js";
import * as startPicture from "./start-picture.js";
import { keepBuild } from "./update.js";

/**
 * A picture that can be shown, and its request if known.
 * @typedef {import("../easel/easel.d.ts").Settings} Settings
 * @typedef {import("../easel/easel.d.ts").GenerateOptions} Request
 * @typedef {{ image: Blob, settings: Settings, seed: number | bigint | string, request?: Request }} Shown
 */

/** Milliseconds in which a second tap or key belongs to the first one and cancels nothing. */
const HASTE = 500;

export const easel = new Easel();
/** The server that draws, if the visitor chose one. @type {RemoteEasel | undefined} */
let server;
/**
 * The model that is being loaded. A request for the same model waits for it; a request for another one ends it.
 * @type {{ name: string, controller: AbortController, done: Promise<unknown> } | undefined}
 */
let loading;
/** The run in progress. @type {{ controller: AbortController, since: number } | undefined} */
let running;
/** The picture that follows the words, if one is being drawn. @type {{ controller: AbortController, done: Promise<number | undefined> } | undefined} */
let sketching;
/** The picture on the stage. @type {Shown | undefined} */
let current;

export const picture = () => current;
export const isRunning = () => running !== undefined;
export const cancel = () => running?.controller.abort();

/** What a press of the button means while it says Cancel. @param {PointerEvent} event */
export function press(event) {
  if (!running) return;
  event.preventDefault();
  // The second press of a double click.
  if (event.pointerType === "mouse") return void (event.detail === 1 && cancel());
  // A line break in a field presses the button as well: then the focus is elsewhere and there was no pointer.
  const meant = event.detail > 0 || document.activeElement === event.currentTarget;
  if (meant && performance.now() - running.since > HASTE) cancel();
}

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
  cost.model = 0;
  tellCost();
  if (easel.loaded) {
    form.defaults(easel.loaded.defaults);
    form.trainedAt(name, easel.loaded.defaults);
    live.offer(easel.loaded.defaults.steps);
  }
  keepBuild("", easel.loaded);
  form.schedulers(await easel.schedulers());
}

/** @param {AbortSignal} signal */
const aborted = (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve));

/** Finds out what a server draws with. @param {string} address @param {AbortSignal} signal */
async function connect(address, signal) {
  server = new RemoteEasel(address);
  device.line(await server.load({ signal }), server);
}

/**
 * Runs a long task, one at a time, with progress and until it is cancelled. Focus and scroll stay where they are.
 * @param {number} pictures @param {(signal: AbortSignal) => Promise<string>} task returns the text for its end
 * @param {() => void} retry does the same again
 * @returns {Promise<boolean>} whether it finished
 */
export async function work(pictures, task, retry) {
  if (running) {
    say("One thing at a time: wait for the task in progress, or cancel it");
    return false;
  }
  let done = true;
  endSketch();
  running = { controller: new AbortController(), since: performance.now() };
  working(true);
  startPicture.leave();
  select.leave();
  stage.begin(pictures);
  try {
    stage.end(await task(running.controller.signal));
  } catch (error) {
    failed(/** @type {Error} */ (error), retry);
    done = false;
  }
  running = undefined;
  working(false);
  return done;
}

/** Draws what the form says. */
export async function draw() {
  if (running) return;
  // Typing goes on while the model is loaded: what counts is what was there when Draw was pressed.
  const [words, start, seed] = [form.words(), startPicture.read(), form.nextSeed()];
  await series(form.count(), async () => ({ ...words, ...(await start), ...form.numbers(), seed }));
}

/** Ends the picture that follows the words, if one is being drawn. */
export const endSketch = () => sketching?.controller.abort();

/**
 * Draws what the form says for the stage alone, in the place of the sketch before; the seed stays.
 * @returns {Promise<number | undefined>} seconds, if it was finished
 */
export function sketch() {
  endSketch();
  const [before, controller] = [sketching?.done, new AbortController()];
  const draw = async () => {
    await before;
    if (running || !easel.loaded || controller.signal.aborted) return undefined;
    const request = { ...form.words(), ...form.numbers(), seed: form.holdSeed() };
    const { image, seed, seconds } = await easel.generate({ ...request, signal: controller.signal });
    if (controller.signal.aborted || running) return undefined;
    const settings = (await easel.readSettings(image)) ?? { prompt: request.prompt };
    await show({ image, settings, seed, request });
    return seconds;
  };
  const done = draw().catch(() => undefined);
  sketching = { controller, done };
  return done;
}

/** Draws another picture like the one on the stage. The form stays as it is. */
export async function again() {
  if (running || !current) return;
  const { settings, request } = current;
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  await series(1, async () => ({ ...(request ?? fromSettings(settings)), seed }));
}

/** @param {number} count @param {() => Promise<Request>} ask says what to draw, once the model is there */
async function series(count, ask) {
  let seconds = 0;
  $("note").textContent = "";
  const task = async (/** @type {AbortSignal} */ signal) => {
    await load(signal);
    const request = await ask();
    batch.begin(count);
    for (let k = 0; k < count; k++) {
      stage.next(k);
      seconds = await one({ ...request, seed: form.following(request.seed ?? 0, k) }, signal);
    }
    return count === 1 ? `Drawn in ${seconds.toFixed(1)} s` : `${count} pictures drawn`;
  };
  await work(count, task, () => series(count, ask));
}

/** What a picture was drawn from. The model's own scheduler is no choice. @param {Settings} settings @returns {Request} */
function fromSettings({ prompt, negativePrompt, steps, guidanceScale, width, height, scheduler, schedulerName }) {
  const own = scheduler === easel.loaded?.defaults.scheduler;
  return { prompt, negativePrompt, steps, guidanceScale, width, height, scheduler: own ? undefined : schedulerName };
}

/** @param {Request} request @param {AbortSignal} signal @returns {Promise<number>} seconds */
async function one(request, signal) {
  const options = { ...request, signal, onProgress: stage.progress, onPreview: stage.preview, onWarning: note };
  const { image, width, height, seed, seconds } = await (server ?? easel).generate(options);
  const settings = (await easel.readSettings(image)) ?? { prompt: request.prompt };
  const shown = { image, settings, seed, request };
  await show(shown);
  batch.add(shown);
  await gallery.add({ image, width, height, seconds, settings });
  return seconds;
}

/** Brings a picture to the stage. @param {Shown} shown */
export async function show(shown) {
  current = shown;
  form.followSeed(shown.seed);
  await stage.show(shown.image, shown.settings.prompt, `Seed ${shown.seed}`);
}

/** Says something that the visitor should know, below the prompt. @param {string} message */
function note(message) {
  const cut = message.match(/^the prompt is (\d+) tokens? too long; this part was cut off: (.*)$/s);
  $("note").textContent = cut ? `The prompt is longer than this model reads. Left out: “${brief(cut[2], 60)}”` : brief(message);
}

/**
 * Switches to another model, and fetches it if necessary; `false` if that fails.
 * @param {string} name @param {() => void} retry does the same again
 */
export async function choose(name, retry) {
  const before = form.model();
  const chosen = await work(1, async (signal) => {
    models.options(name);
    form.follow();
    // Other files may have had the same name.
    if (typeof models.source(name) !== "string") easel.unload();
    await load(signal);
    await models.list();
    return `${name} is ready`;
  }, retry);
  if (!chosen) models.options(before);
  presets.offer(form.model());
  form.keep();
  return chosen;
}

/**
 * Fetches and loads a model that looks at pictures; `false` if that fails.
 * @param {import("../easel/easel.d.ts").Use} use @param {string} name @param {import("../easel/easel.d.ts").ModelSource} source
 * @param {() => void} retry does the same again
 */
export function look(use, name, source, retry) {
  return work(1, async (signal) => {
    await looking.take(use, name, source, { signal, onProgress: stage.progress });
    await models.list();
    return `${name} is ready`;
  }, retry);
}

/** Says what went wrong and what to do. @param {Error} error @param {() => void} retry */
function failed(error, retry) {
  device.line(server?.loaded ?? easel.loaded, server);
  if (error.name === "AbortError") return stage.end("Cancelled");
  const onProcessor = () => {
    form.set("place", "wasm");
    form.place();
    form.keep();
    retry();
  };
  stage.fail(error, { retry, onProcessor });
}

/** @param {boolean} is */
function working(is) {
  const button = $("generate");
  button.textContent = is ? "Cancel" : "Draw";
  button.setAttribute("aria-keyshortcuts", is ? "Escape" : "Enter");
  button.toggleAttribute("data-running", is);
  $("paper").ariaBusy = String(is);
}

/** What is to be fetched before the first picture: the model, and the program that draws as far as it is not here yet. */
const cost = { model: 0, program: 0 };

function tellCost() {
  const all = cost.model + cost.program;
  // A server has what it draws with.
  $("cost").textContent = cost.model > 0 && !form.server() ? `${bytes(all)} to fetch once` : "";
}

/** Says how much the first picture will fetch; loads a model that needs no fetching. */
export async function prepare() {
  const name = form.model();
  presets.offer(name);
  if (running) return;
  if (form.server()) return tellCost();
  easel.backend = form.backend();
  if (easel.loaded?.name === name) return;
  cost.model = 0;
  try {
    const program = easel.prepare({ onProgress: fetchingProgram }).then(programIsHere, programIsHere);
    const plan = await easel.plan(models.source(name));
    cost.model = plan.complete || !plan.url ? 0 : plan.size - plan.stored;
    tellCost();
    if (plan.refusal) $("note").textContent = `${plan.name}: ${brief(plan.refusal)}`;
    else if (plan.complete) await load(new AbortController().signal);
    await program;
  } catch {
    // Drawing will report the error.
  }
  device.line(easel.loaded);
  if (!running) stage.end("");
}

/** @param {import("../easel/easel.d.ts").Progress} progress */
function fetchingProgram({ phase, step, of }) {
  if (phase !== "program") return;
  cost.program = of - step;
  tellCost();
}

function programIsHere() {
  cost.program = 0;
  tellCost();
}
