// The gallery: pictures in IndexedDB, newest first. `viewer.js` is the dialog that shows one of them.
import { $, download, fileName, make, say } from "./dom.js";
import * as viewer from "./viewer.js";
import { zip } from "./zip.js";

/**
 * @typedef {import("../easel/easel.d.ts").Settings} Settings
 * @typedef {{ id: number, created: number, image: Blob, width: number, height: number, seconds: number, settings: Settings, favourite?: boolean }} Item
 */

/** How many pictures are shown at first, and how many more with each press of the button. */
const PAGE = 48;

/** @type {Promise<IDBDatabase>} */
let database;
/** Newest first. @type {Item[]} */
let items = [];
let shown = PAGE;
/** Whether only favourites are shown. */
let choosy = false;
/** What was deleted last, with the item before which it lay, for as long as that can be undone. @type {{ item: Item, next?: Item } | undefined} */
let deleted;
/** @type {Map<number, string>} */
const urls = new Map();
/** Tells other tabs. */
const tabs = new BroadcastChannel("easel-gallery");

/** @param {{ reuse(item: Item): void, start(item: Item): void, select(item: Item): void }} actions what the page does with a picture */
export async function start(actions) {
  tabs.onmessage = refresh;
  viewer.start({ ...actions, items: listed, url, remove, favour });
  $("more").onclick = () => {
    shown += PAGE;
    render();
  };
  $("favourites").onclick = () => {
    choosy = !choosy;
    $("favourites").ariaPressed = String(choosy);
    render();
  };
  $("export").onclick = exportAll;
  await refresh();
}

/** The picture that was drawn last, if there is any. */
export const newest = () => items[0];

/** The pictures that are shown, or would be with enough room. */
const listed = () => (choosy ? items.filter(({ favourite }) => favourite) : items);

/** Adds a picture; `false` if the browser cannot keep it. @param {Omit<Item, "id" | "created">} picture */
export async function add(picture) {
  const item = { ...picture, created: Date.now() };
  deleted = undefined;
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
  const all = listed();
  const visible = all.slice(0, shown);
  const old = new Map([...$("grid").children].map((node) => [/** @type {HTMLElement} */ (node).dataset.id, node]));
  const tiles = visible.map((item) => /** @type {HTMLElement} */ (old.get(String(item.id)) ?? tile(item)));
  name(visible, tiles);
  const at = deleted ? visible.indexOf(/** @type {Item} */ (deleted.next)) : -1;
  if (deleted) tiles.splice(at < 0 ? tiles.length : at, 0, undoing());
  $("grid").replaceChildren(...tiles);
  $("more").hidden = all.length <= shown;
  $("gallery-tools").hidden = items.length === 0;
  $("gallery-count").textContent = items.length === 0 ? "Your pictures stay in this browser." : `${items.length} kept in this browser`;
}

/** @param {Item} item */
function tile(item) {
  const image = make("img", { src: url(item), loading: "lazy", decoding: "async" });
  const button = make("button", { type: "button", onclick: () => viewer.view(item.id) }, image);
  const entry = make("li", {}, button);
  entry.dataset.id = String(item.id);
  return entry;
}

/** Names the tiles; those with equal prompts by their number, too. @param {Item[]} visible @param {HTMLElement[]} tiles */
function name(visible, tiles) {
  const alike = Map.groupBy(items, ({ settings }) => settings.prompt);
  for (const [index, item] of visible.entries()) {
    const group = alike.get(item.settings.prompt) ?? [];
    const which = group.length > 1 ? `, ${group.length - group.indexOf(item)} of ${group.length}` : "";
    const image = /** @type {HTMLImageElement} */ (tiles[index].querySelector("img"));
    image.alt = (item.settings.prompt || "Without a prompt") + which + (item.favourite ? ", favourite" : "");
    tiles[index].classList.toggle("favourite", Boolean(item.favourite));
  }
}

/** What stands in the place of a picture that was deleted. */
function undoing() {
  const undo = make("button", { type: "button", textContent: "Undo", ariaLabel: "Undo: bring the deleted picture back", onclick: bringBack });
  return make("li", { className: "deleted" }, make("span", {}, "Deleted"), undo);
}

/** @param {Item} item */
function url(item) {
  const known = urls.get(item.id) ?? URL.createObjectURL(item.image);
  urls.set(item.id, known);
  return known;
}

/** Deletes a picture. It can be brought back where it was, until the next one is drawn or deleted. @param {Item} item */
async function remove(item) {
  const all = listed();
  deleted = { item, next: all[all.indexOf(item) + 1] };
  items = items.filter((other) => other !== item);
  await request("readwrite", (store) => store.delete(item.id)).catch(() => {});
  render();
  tabs.postMessage("removed");
  $("announce").textContent = "Picture deleted. Undo is just before the picture that has the focus.";
  // On the picture that took its place; Undo is next to it.
  const undo = $("grid").querySelector(".deleted");
  const near = undo?.nextElementSibling ?? undo?.previousElementSibling ?? undo;
  near?.querySelector("button")?.focus({ preventScroll: true });
}

async function bringBack() {
  const item = deleted?.item;
  if (!item) return;
  deleted = undefined;
  await request("readwrite", (store) => store.put(item)).catch(() => {});
  await refresh();
  $("announce").textContent = "The picture is back";
  /** @type {HTMLElement | null} */ ($("grid").querySelector(`[data-id="${item.id}"] button`))?.focus({ preventScroll: true });
  tabs.postMessage("added");
}

/** Makes a picture a favourite, or no longer. @param {Item} item */
async function favour(item) {
  item.favourite = !item.favourite;
  await request("readwrite", (store) => store.put(item)).catch(() => {});
  render();
  tabs.postMessage("changed");
}

/** Offers all pictures that are listed as one archive. */
async function exportAll() {
  const entries = listed().map(({ id, image, created, settings }) => ({
    name: fileName(settings.prompt, settings.seed ?? id).replace(/(?=\.png$)/, `-${id}`),
    content: image,
    date: new Date(created),
  }));
  if (entries.length === 0) return say("There are no favourites yet: a picture’s own dialog makes it one");
  download(await zip(entries), "easel-pictures.zip");
}
