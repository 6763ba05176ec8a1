// The dialog that shows one picture of the gallery, with its settings and actions.
import { $, define, download, fileName } from "./dom.js";

/** @typedef {import("./gallery.js").Item} Item */

const dialog = $("viewer", HTMLDialogElement);
/** The number of the picture that is shown. @type {number | undefined} */
let viewed;

/**
 * @type {{ items(): Item[], url(item: Item): string, remove(item: Item): void, favour(item: Item): void, reuse(item: Item): void,
 *   start(item: Item): void, select(item: Item): void }}
 */
let gallery;

/** @param {typeof gallery} handlers the gallery, and what the page does with a picture */
export function start(handlers) {
  gallery = handlers;
  dialog.addEventListener("click", press);
  dialog.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft") step(-1);
    if (key === "ArrowRight") step(1);
  });
}

const item = () => gallery.items().find(({ id }) => id === viewed);
const button = (/** @type {string} */ action) => /** @type {HTMLButtonElement} */ (dialog.querySelector(`[data-action=${action}]`));

/** @param {number} id */
export function view(id) {
  viewed = id;
  const shown = item();
  if (!shown) return;
  const { settings, width, height, seconds, created, favourite } = shown;
  Object.assign($("viewer-picture", HTMLImageElement), { src: gallery.url(shown), alt: settings.prompt });
  $("viewer-title").textContent = settings.prompt || "Without a prompt";
  define($("viewer-settings"), [
    ["Leaving out", settings.negativePrompt],
    ["Model", settings.model],
    ["Size", `${width} × ${height}`],
    ["Steps", settings.steps?.toString()],
    ["Guidance", settings.guidanceScale?.toString()],
    ["Scheduler", settings.scheduler],
    ["Seed", settings.seed],
    ["Change", settings.strength?.toString()],
    ["Drawn in", `${seconds.toFixed(1)} s`],
    ["On", new Date(created).toLocaleString()],
  ]);
  button("favourite").ariaPressed = String(Boolean(favourite));
  const items = gallery.items();
  for (const [action, offset] of /** @type {[string, number][]} */ ([["newer", -1], ["older", 1]])) {
    button(action).disabled = !items[items.indexOf(shown) + offset];
  }
  if (!dialog.open) dialog.showModal();
}

/** @param {number} offset */
function step(offset) {
  const items = gallery.items();
  const next = items[items.findIndex(({ id }) => id === viewed) + offset];
  if (viewed !== undefined && next) view(next.id);
}

/** @param {Event} event */
function press({ target }) {
  const action = /** @type {HTMLElement} */ (target).dataset.action;
  if (target === dialog || action === "close") dialog.close();
  const shown = item();
  if (!shown || !action) return;
  if (action === "newer") step(-1);
  if (action === "older") step(1);
  if (action === "download") download(shown.image, fileName(shown.settings.prompt, shown.settings.seed ?? shown.id));
  if (action === "favourite") {
    gallery.favour(shown);
    button("favourite").ariaPressed = String(Boolean(shown.favourite));
  }
  if (!["reuse", "start", "select", "delete"].includes(action)) return;
  dialog.close();
  if (action === "reuse") gallery.reuse(shown);
  if (action === "start") gallery.start(shown);
  if (action === "select") gallery.select(shown);
  if (action === "delete") gallery.remove(shown);
}
