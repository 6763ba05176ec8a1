// The gallery: pictures in IndexedDB, newest first, and the dialog that shows one of them.
import { $, define, download, fileName, make, say } from "./dom.js";

/**
 * @typedef {import("../easel/easel.d.ts").Settings} Settings
 * @typedef {{ id: number, created: number, image: Blob, width: number, height: number, seconds: number, settings: Settings }} Item
 */

/** How many pictures are shown at first, and how many more with each press of the button. */
const PAGE = 48;

/** @type {Promise<IDBDatabase>} */
let database;
/** Newest first. @type {Item[]} */
let items = [];
let shown = PAGE;
/** The item in the dialog. @type {Item | undefined} */
let viewed;
/** @type {Map<number, string>} */
const urls = new Map();
/** Tells other tabs. */
const tabs = new BroadcastChannel("easel-gallery");

/** @type {{ reuse(item: Item): void, start(item: Item): void }} */
let actions;

/** @param {typeof actions} handlers what the page does with a picture */
export async function start(handlers) {
  actions = handlers;
  tabs.onmessage = refresh;
  $("more").onclick = () => {
    shown += PAGE;
    render();
  };
  $("viewer").addEventListener("click", press);
  $("viewer").addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft") step(-1);
    if (key === "ArrowRight") step(1);
  });
  await refresh();
}

/** Adds a picture; `false` if the browser cannot keep it. @param {Omit<Item, "id" | "created">} picture */
export async function add(picture) {
  const item = { ...picture, created: Date.now() };
  try {
    const id = await request("readwrite", (store) => store.add(item));
    items.unshift({ ...item, id: Number(id) });
  } catch (error) {
    items.unshift({ ...item, id: -Date.now() });
    const full = /** @type {Error} */ (error).name === "QuotaExceededError";
    say(full ? "The browser’s storage is full: this picture is lost when the page closes" : "This browser keeps no pictures");
  }
  render();
  tabs.postMessage("added");
}

async function refresh() {
  items = await request("readonly", (store) => store.getAll()).then((all) => all.reverse(), () => items);
  render();
}

function open() {
  return (database ??= new Promise((resolve, reject) => {
    const opening = indexedDB.open("easel", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("pictures", { keyPath: "id", autoIncrement: true });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  }));
}

/**
 * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} run
 * @returns {Promise<any>} the result, once it is safely stored
 */
async function request(mode, run) {
  const transaction = (await open()).transaction("pictures", mode);
  const asked = run(transaction.objectStore("pictures"));
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(asked.result);
    transaction.onabort = transaction.onerror = () => reject(transaction.error ?? asked.error);
  });
}

function render() {
  const visible = items.slice(0, shown);
  const old = new Map([...$("grid").children].map((node) => [/** @type {HTMLElement} */ (node).dataset.id, node]));
  $("grid").replaceChildren(...visible.map((item) => old.get(String(item.id)) ?? tile(item)));
  $("more").hidden = items.length <= shown;
  $("gallery-count").textContent = items.length === 0 ? "Your pictures stay in this browser." : `${items.length} kept in this browser`;
}

/** @param {Item} item */
function tile(item) {
  const image = make("img", { src: url(item), alt: item.settings.prompt, loading: "lazy", decoding: "async" });
  const button = make("button", { type: "button", onclick: () => view(item) }, image);
  const entry = make("li", {}, button);
  entry.dataset.id = String(item.id);
  return entry;
}

/** @param {Item} item */
function url(item) {
  const known = urls.get(item.id) ?? URL.createObjectURL(item.image);
  urls.set(item.id, known);
  return known;
}

/** @param {Item} item */
function view(item) {
  viewed = item;
  const { settings, width, height, seconds, created } = item;
  Object.assign($("viewer-picture", HTMLImageElement), { src: url(item), alt: settings.prompt });
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
  const dialog = $("viewer", HTMLDialogElement);
  for (const [action, offset] of /** @type {[string, number][]} */ ([["newer", -1], ["older", 1]])) {
    const button = /** @type {HTMLButtonElement} */ (dialog.querySelector(`[data-action=${action}]`));
    button.disabled = !items[items.indexOf(item) + offset];
  }
  if (!dialog.open) dialog.showModal();
}

/** @param {number} offset */
function step(offset) {
  const item = viewed && items[items.indexOf(viewed) + offset];
  if (item) view(item);
}

/** @param {Event} event */
function press({ target }) {
  const dialog = $("viewer", HTMLDialogElement);
  const action = /** @type {HTMLElement} */ (target).dataset.action;
  if (target === dialog || action === "close") dialog.close();
  if (!viewed || !action) return;
  if (action === "newer") step(-1);
  if (action === "older") step(1);
  if (action === "download") download(viewed.image, fileName(viewed.settings.prompt, viewed.settings.seed ?? viewed.id));
  if (action === "reuse" || action === "start") {
    dialog.close();
    actions[action](viewed);
  }
  if (action === "delete") remove(viewed);
}

/** Deletes a picture, which can be undone for a moment. @param {Item} item */
async function remove(item) {
  items = items.filter((other) => other !== item);
  await request("readwrite", (store) => store.delete(item.id)).catch(() => {});
  $("viewer", HTMLDialogElement).close();
  render();
  tabs.postMessage("removed");
  const undo = async () => {
    await request("readwrite", (store) => store.put(item)).catch(() => {});
    await refresh();
    tabs.postMessage("added");
  };
  say("Picture deleted", { label: "Undo", run: undo });
}
