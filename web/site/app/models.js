// The dialog of models: those in this browser, better ones, and those on the disk and on the web.
import { BETTER, BUILT_IN } from "./catalog.js";
import { $, asking, bytes, make, say } from "./dom.js";
import { folder, modelName } from "./files.js";
import { BUILT_IN as DEFAULT } from "./presets.js";

/**
 * @typedef {import("../easel/easel.d.ts").ModelSource} ModelSource
 * @typedef {import("../easel/easel.d.ts").LocalModel} LocalModel
 * @typedef {import("../easel/easel.d.ts").StoredModel} StoredModel
 * @typedef {import("../easel/easel.js").Easel} Easel
 */

/** About how much more memory a model takes than its files are large, and a share of them beside. */
const WORK = 512 * 2 ** 20;
const SHARE = 1.1;

/** Models by the name in the list: cached ones by themselves, local ones with their files. @type {Map<string, ModelSource>} */
const known = new Map([[DEFAULT, DEFAULT]]);
const dialog = $("models", HTMLDialogElement);
/** @type {Easel} */
let easel;
/** @type {(name: string, retry: () => void) => Promise<boolean>} */
let choose;

/** @param {Easel} worker @param {typeof choose} onChoose called when a model is to be used */
export async function start(worker, onChoose) {
  [easel, choose] = [worker, onChoose];
  $("open-models").onclick = () => show();
  $("open-better").onclick = () => {
    show();
    $("better-title").scrollIntoView();
    $("better-title").focus();
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

function show() {
  list();
  better();
  dialog.showModal();
}

/** The source of a model in the list. @param {string} name */
export const source = (name) => known.get(name) ?? name;

/** Uses a local model, and keeps a copy if the visitor wants one and the model runs. @param {LocalModel} model */
export async function use(model) {
  const { name } = model;
  if (!(await attempt(name, model))) return;
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

/** Changes to a model, and forgets it if that fails. @param {string} name @param {ModelSource} from @returns {Promise<boolean>} */
async function attempt(name, from) {
  known.set(name, from);
  dialog.close();
  const chosen = await choose(name, () => attempt(name, from));
  if (!chosen) await forget(name);
  return chosen;
}

/** Removes a model from the list, unless some of it is in this browser. @param {string} name */
async function forget(name) {
  known.delete(name);
  known.set(DEFAULT, DEFAULT);
  await list();
}

/** What the list shows: drawn anew it would forget a question that it asks. */
let listed = "";

/** Shows the models in this browser. */
export async function list() {
  const stored = await easel.models().catch(() => []);
  for (const { name } of stored) if (!known.has(name)) known.set(name, name);
  options();
  const state = JSON.stringify([stored, easel.loaded?.name]);
  if (state === listed) return;
  listed = state;
  const none = { name: DEFAULT, size: BUILT_IN.size, stored: 0, complete: false };
  const all = stored.some(({ name }) => name === DEFAULT) ? stored : [none, ...stored];
  $("model-list").replaceChildren(...all.map(storedCard));
}

/**
 * What a card says of a model.
 * @typedef {{ name: string, about?: string, facts: [string, string][], sample?: string, refusal?: string }} Card
 */

/** @param {Card} card @param {HTMLElement[]} buttons */
function card({ name, about, facts, sample, refusal }, buttons) {
  const list = make("dl", {}, ...facts.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
  const text = make("div", {}, make("strong", {}, name), ...(about ? [make("p", { className: "hint" }, `${about}.`)] : []), list);
  if (refusal) text.append(make("p", { className: "refusal" }, `Not on this device: ${refusal}.`));
  const picture = sample ? [make("img", { src: sample, alt: `What ${name} draws`, width: 96, height: 96, loading: "lazy" })] : [];
  return make("li", { className: "card" }, ...picture, text, make("div", { className: "actions" }, ...buttons));
}

/** @param {StoredModel} model */
function storedCard({ name, size, stored, complete, url }) {
  const offer = BETTER.find(({ repository }) => repository === name);
  const said = name === DEFAULT ? BUILT_IN : offer;
  const state = complete ? `${bytes(size)}, kept` : stored > 0 ? `${bytes(stored)} of ${bytes(size)}` : `${bytes(size)} to fetch`;
  /** @type {[string, string][]} */
  const facts = [["Files", state], ["Memory", `about ${bytes(size * SHARE + WORK)}`]];
  if (said) facts.push(...details(said));
  const buttons = [];
  const isFetchable = url || stored === 0;
  const label = complete || stored === 0 ? "Use" : "Go on";
  const pick = () => void attempt(name, complete || name === DEFAULT ? name : (known.get(name) ?? name));
  if (easel.loaded?.name === name) buttons.push(make("span", { className: "hint" }, "In use"));
  else if (complete || isFetchable) buttons.push(make("button", { type: "button", textContent: label, ariaLabel: `${label}: ${name}`, onclick: pick }));
  const drop = async () => {
    await easel.purge(name);
    say(`${name} deleted, ${bytes(stored)} freed`);
    await forget(name);
    $("model-list").querySelector("button")?.focus();
  };
  if (stored > 0) buttons.push(asking("Delete", `Delete ${bytes(stored)} for good`, drop, `Delete ${name}`));
  return card({ name: offer?.name ?? name, about: said?.about, facts, sample: name === DEFAULT ? BUILT_IN.sample : undefined }, buttons);
}

/** @param {{ side: number, steps: string, licence: string, terms: string }} model @returns {[string, string][]} */
const details = ({ side, steps, licence, terms }) => [
  ["Draws", `${side} × ${side} in ${steps} steps`],
  ["Licence", `${licence}: ${terms}`],
];

/** Shows the models that draw more, with what each takes and whether this device can have it. */
async function better() {
  const stored = await easel.models().catch(() => []);
  const offers = BETTER.filter(({ repository }) => !stored.some(({ name }) => name === repository));
  const cards = offers.map(async (offer) => {
    const { name, repository, about, size } = offer;
    const refusal = await easel.fits(size).catch(({ message }) => message);
    const fetchIt = () => void attempt(repository, repository);
    const label = `Fetch ${bytes(size)} and use`;
    const button = make("button", { type: "button", textContent: label, ariaLabel: `${label} ${name}`, disabled: Boolean(refusal), onclick: fetchIt });
    /** @type {[string, string][]} */
    const facts = [["To fetch", `about ${bytes(size)}, once`], ["Memory", `about ${bytes(size * SHARE + WORK)}`], ...details(offer)];
    if (!refusal) facts.push(["Here", "fits this device"]);
    return card({ name, about, facts, refusal }, [button]);
  });
  $("better-list").replaceChildren(...(await Promise.all(cards)));
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
    const fetchIt = () => void attempt(plan.name, address);
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
