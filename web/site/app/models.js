// The dialog of models: those in this browser, better ones, and those from the disk and the web.
import { BETTER, BUILT_IN, LOOKING } from "./catalog.js";
import { $, asking, bytes, make, say } from "./dom.js";
import { folder, modelName, nameOf } from "./files.js";
import * as looking from "./looking.js";
import { BUILT_IN as DEFAULT } from "./presets.js";

/**
 * @typedef {import("../easel/easel.d.ts").ModelSource} ModelSource
 * @typedef {import("../easel/easel.d.ts").LocalModel} LocalModel
 * @typedef {import("../easel/easel.d.ts").StoredModel} StoredModel
 * @typedef {import("../easel/easel.d.ts").Use} Use
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
/**
 * What is done when a model is to be used: one that draws, or one that looks at pictures.
 * @type {{ choose(name: string, retry: () => void): Promise<boolean>, look(use: Use, name: string, source: ModelSource, retry: () => void): Promise<boolean> }}
 */
let page;
/** What waits for a model that looks at pictures. @type {(() => void) | undefined} */
let waiting;

/** @param {Easel} worker @param {typeof page} handlers */
export async function start(worker, handlers) {
  [easel, page] = [worker, handlers];
  $("open-models").onclick = () => show();
  $("open-better").onclick = () => show("better-title");
  $("model-folder").onchange = ({ target }) => {
    const input = /** @type {HTMLInputElement} */ (target);
    const { name, files } = folder(/** @type {FileList} */ (input.files));
    if (files.length > 0) use({ name, files });
    input.value = "";
  };
  $("model-file").onchange = ({ target }) => {
    const input = /** @type {HTMLInputElement} */ (target);
    const files = [...(input.files ?? [])].map((file) => /** @type {[string, File]} */ ([file.name, file]));
    if (files.length > 0) use({ name: nameOf(files), files });
    input.value = "";
  };
  $("model-url-form").addEventListener("submit", (event) => {
    event.preventDefault();
    look(asked($("model-url", HTMLInputElement).value.trim()));
  });
  await list();
}

/** Opens the dialog, at one of its headings. @param {string} [heading] */
function show(heading) {
  list();
  better();
  dialog.showModal();
  if (!heading) return;
  $(heading).scrollIntoView();
  $(heading).focus();
}

/** Asks for a model that looks at pictures, and goes on when one is there. @param {() => void} onReady */
export function missing(onReady) {
  waiting = onReady;
  dialog.addEventListener("close", () => setTimeout(() => (waiting = undefined)), { once: true });
  show("looking-title");
}

/** The source of a model in the list. @param {string} name */
export const source = (name) => known.get(name) ?? name;

/** Uses a local model, and keeps a copy if the visitor wants one and the model runs. @param {LocalModel} model */
export async function use(model) {
  const { name } = model;
  // What is wrong with it, loading says.
  const purpose = await easel.plan(model).then((plan) => plan.use, () => undefined);
  if (!(await (purpose ? attemptLook(purpose, name, model) : attempt(name, model)))) return;
  if (!$("keep-model", HTMLInputElement).checked) return;
  const size = model.files.reduce((sum, [, file]) => sum + file.size, 0);
  try {
    say(`Copying ${name} (${bytes(size)}) into this browser…`);
    await easel.keep(model);
    if (!purpose) known.set(name, name);
    say(`${name} is kept in this browser`);
  } catch (error) {
    say(`${name} is used from the disk: ${/** @type {Error} */ (error).message}`);
  }
}

/** Changes to a model, and forgets it if that fails. @param {string} name @param {ModelSource} from @returns {Promise<boolean>} */
async function attempt(name, from) {
  known.set(name, from);
  dialog.close();
  const chosen = await page.choose(name, () => attempt(name, from));
  if (!chosen) await forget(name);
  return chosen;
}

/** The same for a model that looks at pictures. @param {Use} use @param {string} name @param {ModelSource} from @returns {Promise<boolean>} */
async function attemptLook(use, name, from) {
  const next = waiting;
  dialog.close();
  const ready = await page.look(use, name, from, () => attemptLook(use, name, from));
  if (ready) next?.();
  return ready;
}

/** Removes a model from the list, unless some of it is in this browser. @param {string} name */
async function forget(name) {
  known.delete(name);
  looking.forget(name);
  known.set(DEFAULT, DEFAULT);
  await list();
}

/** What the list shows: drawn anew it would forget a question that it asks. */
let listed = "";

/** Shows the models in this browser. */
export async function list() {
  const stored = await easel.models().catch(() => []);
  for (const { name, use } of stored) if (!use && !known.has(name)) known.set(name, name);
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
function storedCard({ name, size, stored, complete, url, use }) {
  const offer = [...BETTER, ...LOOKING].find(({ repository }) => repository === name);
  const said = name === DEFAULT ? BUILT_IN : (offer ?? (use && { about: USES[use] }));
  const state = complete ? `${bytes(size)}, kept` : stored > 0 ? `${bytes(stored)} of ${bytes(size)}` : `${bytes(size)} to fetch`;
  /** @type {[string, string][]} */
  const facts = [["Files", state], ["Memory", `about ${bytes(size * SHARE + WORK)}`]];
  if (said) facts.push(...details(/** @type {Parameters<typeof details>[0]} */ (said)));
  const buttons = [];
  const isFetchable = url || stored === 0;
  const label = complete || stored === 0 ? "Use" : "Go on";
  const pick = () => void (use ? attemptLook(use, name, name) : attempt(name, complete || name === DEFAULT ? name : (known.get(name) ?? name)));
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

/** What models are for that do not draw. @type {Record<Use, string>} */
const USES = { segmenter: "Cuts things out of pictures, under Select", classifier: "Says how well words fit a picture, under Select" };

/** @param {{ side?: number, steps?: string, licence?: string, terms?: string }} model @returns {[string, string][]} */
const details = ({ side, steps, licence, terms }) => [
  .../** @type {[string, string][]} */ (side ? [["Draws", `${side} × ${side} in ${steps} steps`]] : []),
  .../** @type {[string, string][]} */ (licence ? [["Licence", `${licence}: ${terms}`]] : []),
];

/** Shows the models that are not here, with what each takes and whether this device can have it. */
async function better() {
  const stored = await easel.models().catch(() => []);
  await Promise.all([offer("better-list", BETTER, stored), offer("looking-list", LOOKING, stored)]);
}

/** @param {string} list @param {import("./catalog.js").Offer[]} all @param {StoredModel[]} stored */
async function offer(list, all, stored) {
  const offers = all.filter(({ repository }) => !stored.some(({ name }) => name === repository));
  const cards = offers.map(async (offer) => {
    const { name, repository, about, size, use } = offer;
    const refusal = await easel.fits(size).catch(({ message }) => message);
    const fetchIt = () => void (use ? attemptLook(use, repository, repository) : attempt(repository, repository));
    const label = `Fetch ${bytes(size)} and use`;
    const button = make("button", { type: "button", textContent: label, ariaLabel: `${label} ${name}`, disabled: Boolean(refusal), onclick: fetchIt });
    /** @type {[string, string][]} */
    const facts = [["To fetch", `about ${bytes(size)}, once`], ["Memory", `about ${bytes(size * SHARE + WORK)}`], ...details(offer)];
    if (!refusal) facts.push(["Here", "fits this device"]);
    return card({ name, about, facts, refusal }, [button]);
  });
  $(list).replaceChildren(...(await Promise.all(cards)));
}

/** Fills the list of the form. @param {string} [choice] */
export function options(choice) {
  const select = $("model", HTMLSelectElement);
  const value = choice || select.value || DEFAULT;
  select.replaceChildren(...[...known.keys()].map((name) => new Option(name, name)));
  select.value = known.has(value) ? value : DEFAULT;
}

/**
 * A model as it is written in the form: one address, or those of its parts (`transformer=https://… vae=https://…`). The
 * denoiser needs no name.
 * @param {string} text @returns {ModelSource}
 */
function asked(text) {
  const words = text.split(/\s+/);
  const part = /^(\w+)=(https?:.*)$/;
  if (words.length === 1 && !part.test(text)) return text;
  const components = Object.fromEntries(words.map((word) => word.match(part)?.slice(1) ?? ["transformer", word]));
  const denoiser = components.transformer ?? components.unet ?? words[0];
  const file = decodeURIComponent(denoiser.split(/[?#]/)[0].split("/").at(-1) ?? denoiser);
  return { name: modelName(file), components };
}

/** Says how much memory and fetching a model on the web would take. @param {ModelSource} address */
async function look(address) {
  const place = $("model-plan");
  place.hidden = false;
  place.replaceChildren("Looking it up…");
  try {
    const plan = await easel.plan(address);
    const fetchIt = () => void (plan.use ? attemptLook(plan.use, plan.name, address) : attempt(plan.name, address));
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
