// The page's controls.
import * as batch from "./batch.js";
import * as device from "./device.js";
import { $, download, fileName, recall, remember, say } from "./dom.js";
import * as files from "./files.js";
import * as form from "./form.js";
import * as gallery from "./gallery.js";
import * as live from "./live.js";
import * as looking from "./looking.js";
import * as models from "./models.js";
import * as run from "./run.js";
import * as select from "./select.js";
import { served } from "./served.js";
import * as share from "./share.js";
import * as stage from "./stage.js";
import * as startPicture from "./start-picture.js";
import * as update from "./update.js";
import * as words from "./words.js";

/** @typedef {import("../easel/easel.d.ts").Settings} Settings */

const { easel } = run;

/** A picture that was dropped or pasted: restores its settings if it has any, else starts from it. @param {Blob} file */
async function takePicture(file) {
  const settings = await easel.readSettings(file).catch(() => undefined);
  if (!settings) return startPicture.use(file);
  restore(settings, { label: "Start from this picture", run: () => startPicture.use(file) });
}

/** @param {Settings} settings @param {Parameters<typeof say>[1]} [action] a button beside the message */
function restore(settings, action) {
  form.restore(settings, easel.loaded?.defaults.scheduler);
  const select = $("model", HTMLSelectElement);
  const has = [...select.options].some(({ value }) => value === settings.model);
  if (settings.model && has) select.value = settings.model;
  const missing = settings.model && !has ? `, but the model ${settings.model} is not in this browser` : "";
  if (missing || action) say(`Settings restored${missing}`, action);
  $("prompt").focus({ preventScroll: true });
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    run.draw();
  });
  $("generate").onclick = (event) => run.press(/** @type {PointerEvent} */ (event));
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (run.isRunning()) $("note").textContent = "Still drawing. Escape cancels it.";
    else $("form", HTMLFormElement).requestSubmit();
  });
  addEventListener("keydown", ({ key }) => {
    if (key !== "Escape" || document.querySelector("dialog[open]")) return;
    if (run.isRunning()) run.cancel();
    else if (select.isOpen()) select.leave(true);
    else startPicture.leave(true);
  });
  $("place").onchange = () => {
    form.place();
    run.prepare();
  };
  $("reroll").onclick = form.reroll;
  $("model").onchange = () => {
    form.follow();
    run.prepare();
  };
  $("actions").onclick = act;
  $("examples").onclick = ({ target }) => {
    if (!(target instanceof HTMLButtonElement)) return;
    form.set("prompt", target.textContent);
    // The example goes away with the press; what it began is at the prompt.
    $("prompt").focus({ preventScroll: true });
    $("form", HTMLFormElement).requestSubmit();
  };
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog")?.close());
  }
}

/** What is done with the picture on the stage. @param {Event} event */
function act({ target }) {
  const { action } = /** @type {HTMLElement} */ (target).dataset;
  const picture = run.picture();
  if (!picture || !action) return;
  const name = fileName(picture.settings.prompt, picture.settings.seed ?? 0);
  if (action === "download") download(picture.image, name);
  if (action === "copy") share.copy(picture.image);
  if (action === "share") share.share(picture.image, name);
  if (action === "start") startPicture.use(picture.image);
  if (action === "select") select.begin(picture.image, name);
  if (action === "variation") run.again();
}

/** The colour scheme: the system's, light or dark. */
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

/** Brings the newest picture back to the stage after a reload. */
async function resume() {
  const last = gallery.newest();
  if (last && !run.picture() && !run.isRunning()) await run.show({ ...last, seed: last.settings.seed ?? 0 });
}

/** @param {string} word one that the visitor picked */
function useWord(word) {
  const prompt = $("prompt", HTMLTextAreaElement);
  const before = prompt.value.trim();
  form.set("prompt", before ? `${before} and ${words.phrase(word)}` : words.phrase(word));
  form.keep();
  prompt.focus({ preventScroll: true });
}

/** Selects something in a picture of the gallery, which comes to the stage. @param {import("./gallery.js").Item} item */
async function selectIn(item) {
  const { image, settings, id } = item;
  await run.show({ ...item, seed: settings.seed ?? 0 });
  await select.begin(image, fileName(settings.prompt, settings.seed ?? id));
}

async function main() {
  theme();
  const drawer = form.isFirst() ? served() : undefined;
  const model = form.start();
  listen();
  words.start(useWord);
  live.start();
  batch.start(run.show);
  startPicture.start({ onPicture: form.shape, onLeave: () => stage.end(""), onSelect: (file) => select.begin(file, "picture") });
  select.start({ work: run.work, redraw: startPicture.use, miss: models.missing });
  files.start({ picture: takePicture, model: (name, list) => models.use({ name, files: list }) });
  share.start();
  await gallery.start({ reuse: ({ settings }) => restore(settings), start: ({ image }) => startPicture.use(image), select: selectIn });
  await resume();
  await device.start(easel, { onPurge: models.list, onFree: looking.free });
  await models.start(easel, { choose: run.choose, look: run.look });
  models.options(model);
  const server = await drawer;
  if (server) form.drawnBy(server);
  await run.prepare();
  // Last, for it keeps what has been fetched by then.
  update.start();
}

main();
