// The dialog of models: those in this browser, on the disk and on the web.
import { $, bytes, make, say } from "./dom.js";
import { folder, modelName } from "./files.js";

/**
 * @typedef {import("../easel/easel.d.ts").ModelSource} ModelSource
 * @typedef {import("../easel/easel.d.ts").LocalModel} LocalModel
 * @typedef {import("../easel/easel.js").Easel} Easel
 */

export const DEFAULT = "easel-emoji";

/** Models by the name in the list: cached ones by themselves, local ones with their files. @type {Map<string, ModelSource>} */
const known = new Map([[DEFAULT, DEFAULT]]);
/** @type {Easel} */
let easel;
/** @type {(name: string) => Promise<boolean>} */
let choose;

/** @param {Easel} worker @param {typeof choose} onChoose called when a model is to be used */
export async function start(worker, onChoose) {
  [easel, choose] = [worker, onChoose];
  $("open-models").onclick = () => {
    list();
    $("models", HTMLDialogElement).showModal();
  };
  $("model-folder").onchange = ({ target }) => {
    const input = /** @type {HTMLInputElement} */ (target);
    const { name, files } = folder(/** @type {FileList} */ (input.files));
    if (files.length > 0) use({ name, files });
    input.value = "";
  };
  $("model-file").onchange = ({ target }) => {
    const input = /** @type {HTMLInputElement} */ (target);
    const file = input.files?.[0];
    if (file) use({ name: modelName(file.name), files: [[file.name, file]] });
    input.value = "";
  };
  $("model-url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    look($("model-url", HTMLInputElement).value.trim());
  });
  await list();
}

/** The source of a model in the list. @param {string} name */
export const source = (name) => known.get(name) ?? name;

/** Uses a local model, and keeps a copy if the visitor wants one and the model runs. @param {LocalModel} model */
export async function use(model) {
  const { name } = model;
  known.set(name, model);
  $("models", HTMLDialogElement).close();
  if (!(await choose(name))) return forget(name);
  if (!$("keep-model", HTMLInputElement).checked) return;
  const size = model.files.reduce((sum, [, file]) => sum + file.size, 0);
  try {
    say(`Copying ${name} (${bytes(size)}) into this browser…`);
    await easel.keep(model);
    known.set(name, name);
    say(`${name} is kept in this browser`);
  } catch (error) {
    say(`${name} is used from the disk: ${/** @type {Error} */ (error).message}`);
  }
}

/** Removes a model from the list, unless some of it is in this browser. @param {string} name */
async function forget(name) {
  known.delete(name);
  known.set(DEFAULT, DEFAULT);
  await list();
}

/** Shows the models in this browser. */
export async function list() {
  const stored = await easel.models().catch(() => []);
  for (const { name } of stored) if (!known.has(name)) known.set(name, name);
  $("model-list").replaceChildren(...stored.map(row));
  if (stored.length === 0) $("model-list").append(make("li", { className: "hint" }, "None yet. The first picture fetches easel-emoji, 14 MB."));
  options();
}

/** @param {import("../easel/easel.d.ts").StoredModel} model */
function row({ name, size, stored, complete, url }) {
  const state = complete ? bytes(size) : `${bytes(stored)} of ${bytes(size)}`;
  const pick = () => {
    $("models", HTMLDialogElement).close();
    choose(name);
  };
  const drop = async () => {
    await easel.purge(name);
    say(`${name} deleted, ${bytes(stored)} freed`);
    await forget(name);
  };
  const usable = complete || url;
  return make(
    "li",
    {},
    make("div", {}, name, " ", make("span", { className: "hint" }, state)),
    ...(usable ? [make("button", { type: "button", onclick: pick }, complete ? "Use" : "Go on")] : []),
    make("button", { type: "button", onclick: drop, ariaLabel: `Delete ${name}` }, "Delete"),
  );
}

/** Fills the list of the form. @param {string} [choice] */
export function options(choice) {
  const select = $("model", HTMLSelectElement);
  const value = choice || select.value || DEFAULT;
  select.replaceChildren(...[...known.keys()].map((name) => new Option(name, name)));
  select.value = known.has(value) ? value : DEFAULT;
}

/** Says how much memory and fetching a model on the web would take. @param {string} address */
async function look(address) {
  const place = $("model-plan");
  place.hidden = false;
  place.replaceChildren("Looking it up…");
  try {
    const plan = await easel.plan(address);
    const fetchIt = async () => {
      known.set(plan.name, address);
      $("models", HTMLDialogElement).close();
      if (!(await choose(plan.name))) await forget(plan.name);
    };
    const { deviceMemory } = /** @type {{ deviceMemory?: number }} */ (navigator);
    const offer = deviceMemory ? `; this device has at least ${deviceMemory} GB` : "";
    const fetching = plan.complete ? "Already in this browser" : `${bytes(plan.size - plan.stored)} to fetch`;
    const need = `${fetching}, about ${bytes(plan.memory)} of memory to run${offer}`;
    place.replaceChildren(
      make("strong", {}, plan.name),
      make("p", {}, need),
      plan.refusal
        ? make("p", { className: "refusal" }, `It cannot run here: ${plan.refusal}.`)
        : make("div", { className: "actions" }, make("button", { type: "button", className: "primary", onclick: fetchIt }, plan.complete ? "Use it" : "Fetch and use it")),
    );
  } catch (error) {
    place.replaceChildren(make("p", { className: "refusal" }, /** @type {Error} */ (error).message));
  }
}
