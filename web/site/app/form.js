// The form: the visitor's request, kept from visit to visit.
import { $, recall, remember } from "./dom.js";
import * as presets from "./presets.js";

/** @typedef {import("../easel/easel.d.ts").Settings} Settings */
/** @typedef {import("../easel/easel.d.ts").LoadedModel["defaults"]} Defaults */

const KEPT = "easel-form";
const LARGEST_SEED = 2n ** 64n - 1n;
const form = $("form", HTMLFormElement);
const input = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));

/** Whether the seed in the field is one that nothing has been drawn with yet. */
let fresh = true;
/** The size that the model was trained at. @type {{ model: string, width: number, height: number } | undefined} */
let trained;

/** Fields whose value the visitor has chosen; the others follow the model. */
const FOLLOWING = ["width", "height", "steps", "guidanceScale"];
/** @type {Set<string>} */
const chosen = new Set();
/** Whether a server draws whose guidance scale is not known: unless one is chosen it is left out. */
let unsaid = false;

/** Restores the last visit's fields and keeps what is typed from now on. Returns the model of that visit, which does not count as a choice. */
export function start() {
  const kept = earlier();
  for (const [name, value] of Object.entries(kept.fields ?? {})) set(name, value);
  for (const name of kept.chosen ?? []) chosen.add(name);
  unsaid = Boolean(kept.unsaid);
  if (!kept.fields) defaults({ width: 128, height: 128, steps: 20, guidanceScale: 4 });
  fresh = !kept.fields;
  if (!input("seed").value) reroll();
  form.addEventListener("input", ({ target }) => {
    const { name } = /** @type {HTMLInputElement} */ (target);
    if (FOLLOWING.includes(name)) chosen.add(name);
    if (name === "seed") typedSeed();
    outputs();
    keep();
  });
  // A field inside closed settings could not show its error.
  form.addEventListener("invalid", ({ target }) => open(/** @type {Element} */ (target)), true);
  $("settings", HTMLDetailsElement).open = matchMedia("(min-width: 56rem)").matches;
  presets.start(shape);
  judgeSeed();
  place();
  outputs();
  return String(kept.fields?.model ?? "");
}

/** Whether there was no visit before. */
export const isFirst = () => earlier().fields === undefined;

/**
 * Lets the server that the page comes from draw, with what suits its model.
 * @param {import("./served.js").Drawer} model
 */
export function drawnBy({ width, height, steps }) {
  set("place", "server");
  for (const [name, value] of Object.entries({ width, height, steps })) if (value) set(name, value);
  // How closely to follow the words is the model's to say.
  unsaid = true;
  place();
  outputs();
  keep();
}

/** The fields of the last visit. @returns {{ fields?: Record<string, unknown>, chosen?: string[], unsaid?: boolean }} */
function earlier() {
  try {
    return JSON.parse(recall(KEPT) ?? "{}");
  } catch {
    return {};
  }
}

/** Opens the section that the element is in. @param {Element} element */
function open(element) {
  const details = element.closest("details");
  if (details) details.open = true;
}

/** A seed that was typed is meant, for this picture and the next. */
function typedSeed() {
  fresh = true;
  set("keepSeed", input("seed").value !== "");
  judgeSeed();
}

function judgeSeed() {
  const { value } = input("seed");
  const tooLarge = /^[0-9]+$/.test(value) && BigInt(value) > LARGEST_SEED;
  input("seed").setCustomValidity(tooLarge ? `The largest seed is ${LARGEST_SEED}` : "");
}

/** Sets a field. @param {string} name @param {unknown} value */
export function set(name, value) {
  const field = input(name);
  if (!field) return;
  if (field.type === "checkbox") field.checked = Boolean(value);
  else field.value = String(value);
  if (field.type !== "range" || Number(field.value) === Number(value)) return;
  // A picture may have been drawn with what lies beyond the slider's end, or between its steps.
  field.max = String(Math.max(Number(field.max), Number(value)));
  field.step = "any";
  field.value = String(value);
}

/** Shows what a model draws unless something else was chosen. @param {Pick<Defaults, "width" | "height" | "steps" | "guidanceScale">} values */
export function defaults(values) {
  for (const name of FOLLOWING) {
    if (!chosen.has(name)) set(name, values[/** @type {keyof typeof values} */ (name)]);
  }
  outputs();
}

/** Notes the size that the model was trained at, which the field for the size speaks of. @param {string} model @param {Defaults} values */
export function trainedAt(model, { width, height }) {
  trained = { model, width, height };
  outputs();
}

/** Forgets the choices made for another model. */
export function follow() {
  chosen.clear();
}

/** What the visitor wrote and no model changes: read when Draw is pressed, for typing goes on meanwhile. */
export function words() {
  const negative = input("negativePrompt").value.trim();
  return { prompt: presets.styled(input("prompt").value.trim()), negativePrompt: negative || undefined };
}

/** The numbers of the request, under the names of the package: read when the model is there, whose own they may be. */
export function numbers() {
  const scheduler = input("scheduler").value;
  const [width, height, steps, guidanceScale] = FOLLOWING.map((name) => Number(input(name).value));
  return { width, height, steps, guidanceScale: leavesGuidance() ? undefined : guidanceScale, scheduler: scheduler || undefined };
}

const leavesGuidance = () => unsaid && server() !== "" && !chosen.has("guidanceScale");

/** The seed to draw with: the one in the field if it is kept or new, else another one. */
export function nextSeed() {
  if (!input("keepSeed").checked && !fresh) reroll();
  fresh = false;
  return seed(BigInt(input("seed").value || 0));
}

/** Keeps the seed in the field for the next picture. */
export function holdSeed() {
  fresh = true;
  return seed(BigInt(input("seed").value || 0));
}

/** Shows the seed of the picture that is looked at, unless the visitor keeps one. @param {number | bigint | string} value */
export function followSeed(value) {
  if (input("keepSeed").checked || fresh) return;
  set("seed", value);
  judgeSeed();
  keep();
}

/** The seed `k` places after another; 0 follows the largest. @param {bigint | number} first @param {number} k */
export const following = (first, k) => seed(BigInt.asUintN(64, BigInt(first) + BigInt(k)));

/** A number where one can hold it. @param {bigint} value */
const seed = (value) => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value);

/** Makes the picture as wide and high as another, with about as many pixels as it has now. @param {number} width @param {number} height */
export function shape(width, height) {
  const pixels = Number(input("width").value) * Number(input("height").value);
  const scale = Math.sqrt(pixels / (width * height));
  for (const [name, side] of /** @type {[string, number][]} */ ([["width", width], ["height", height]])) {
    const value = Math.max(64, 8 * Math.round((side * scale) / 8));
    if (value === Number(input(name).value)) continue;
    chosen.add(name);
    set(name, Math.min(value, 4096));
  }
  outputs();
  keep();
}

export const model = () => input("model").value;
export const count = () => Number(input("count").value);
/** The backend to compute with in the browser. @returns {import("../easel/easel.d.ts").Backend} */
export function backend() {
  const { value } = input("place");
  return value === "webgpu" || value === "wasm" ? value : "auto";
}

/** The address of the server, if a server draws. */
export const server = () => (input("place").value === "server" ? input("server").value.trim() : "");

/** Shows the fields of the place that draws. */
export function place() {
  const isServer = input("place").value === "server";
  input("server").hidden = !isServer;
  input("server").required = isServer;
  if (!input("server").value) set("server", location.origin);
  for (const id of ["model", "scheduler"]) $(id, HTMLSelectElement).disabled = isServer;
}

/** Rolls another seed, which the next picture is drawn with. */
export function reroll() {
  set("seed", crypto.getRandomValues(new Uint32Array(1))[0]);
  fresh = true;
  judgeSeed();
  keep();
}

/**
 * Shows the settings of a picture; those that are missing are the model's own choice.
 * @param {Settings} settings @param {string} [own] the model's own scheduler, as pictures name it: that is no choice
 */
export function restore(settings, own) {
  const { width, height, steps, guidanceScale, prompt, negativePrompt, schedulerName, seed, strength } = settings;
  set("prompt", prompt);
  set("negativePrompt", negativePrompt ?? "");
  for (const [name, value] of Object.entries({ width, height, steps, guidanceScale })) {
    if (value === undefined || value === null) continue;
    chosen.add(name);
    set(name, value);
  }
  set("style", "");
  set("scheduler", settings.scheduler === own ? "" : (schedulerName ?? ""));
  if (strength !== undefined && strength !== null) set("strength", strength);
  if (seed !== undefined && seed !== null) {
    set("seed", seed);
    set("keepSeed", true);
    judgeSeed();
  }
  set("count", 1);
  outputs();
  keep();
}

/** Fills the list of schedulers, keeping the choice. @param {string[]} names */
export function schedulers(names) {
  const select = $("scheduler", HTMLSelectElement);
  const choice = select.value || String(earlier().fields?.scheduler);
  select.replaceChildren(select.options[0], ...names.map((name) => new Option(name, name)));
  select.value = names.includes(choice) ? choice : "";
}

function outputs() {
  for (const output of form.querySelectorAll("output")) {
    const { value, id } = $(output.htmlFor.value, HTMLInputElement);
    output.value = said(id, value);
  }
  const [width, height] = [Number(input("width").value), Number(input("height").value)];
  presets.mark(width, height);
  $("size-note").textContent = sizeNote(width, height);
}

/** A slider's value in words. @param {string} id @param {string} value */
function said(id, value) {
  if (id === "strength") return `${Math.round(Number(value) * 100)} %`;
  if (id !== "guidanceScale") return value;
  return leavesGuidance() ? "the model’s" : Number(value) <= 1 ? "off" : value;
}

/** What is to be expected of a size that the model was not trained at. @param {number} width @param {number} height */
function sizeNote(width, height) {
  if (!trained || input("place").value === "server") return "";
  const ratio = (width * height) / (trained.width * trained.height);
  const isEmoji = trained.model === presets.BUILT_IN;
  // The built-in model has seen one size only; larger ones have seen many shapes of about as many pixels.
  const other = isEmoji ? width !== trained.width || height !== trained.height : ratio < 0.5 || ratio > 2;
  return other ? `${trained.model} was trained at ${trained.width} × ${trained.height}. At other sizes things come out doubled, blurred or broken.` : "";
}

/** Keeps the form for the next visit. */
export function keep() {
  const fields = Object.fromEntries(
    [...form.elements]
      .map((element) => /** @type {HTMLInputElement} */ (element))
      .filter(({ name, type }) => name && type !== "file")
      .map(({ name, type, checked, value }) => [name, type === "checkbox" ? checked : value]),
  );
  remember(KEPT, JSON.stringify({ fields, chosen: [...chosen], unsaid }));
}
