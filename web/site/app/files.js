// Files that are dropped on the page or pasted into it.
import { $ } from "./dom.js";

/** @typedef {[path: string, file: File][]} Files */

const MODEL = /\.(safetensors|ckpt|pt|pth|gguf)$/i;

/** @param {{ picture(file: File): void, model(name: string, files: Files): void }} handlers */
export function start(handlers) {
  let depth = 0;
  const holdsFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (holdsFiles(event)) $("dropping").hidden = ++depth === 0;
  });
  addEventListener("dragleave", (event) => {
    if (holdsFiles(event)) $("dropping").hidden = --depth <= 0;
  });
  addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  addEventListener("drop", async (event) => {
    if (!event.dataTransfer || !holdsFiles(event)) return;
    event.preventDefault();
    depth = 0;
    $("dropping").hidden = true;
    const items = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
    const found = items.filter((item) => item !== null);
    const files = (await Promise.all(found.map((item) => (item instanceof File ? [pair(item)] : walk(item, ""))))).flat();
    // One folder is the model; several things are its parts.
    if (found.length > 1) take(nameOf(files), files, handlers);
    else take(found[0]?.name ?? "", files.map(inside), handlers);
  });
  addEventListener("paste", (event) => {
    const file = event.clipboardData?.files[0];
    if (file) take(file.name, [pair(file)], handlers);
  });
}

/** The files that an input with `webkitdirectory` gives, by their paths in the folder. @param {FileList} list @returns {{ name: string, files: Files }} */
export function folder(list) {
  const name = list[0]?.webkitRelativePath.split("/")[0] ?? "model";
  return { name, files: [...list].map((file) => [file.webkitRelativePath.split("/").slice(1).join("/"), file]) };
}

/** @param {File} file @returns {Files[number]} */
const pair = (file) => [file.name, file];

/** A file by its path in the folder that it was dropped with. @param {Files[number]} pair @returns {Files[number]} */
const inside = ([path, file]) => [path.split("/").slice(1).join("/") || path, file];

/** How files are called that are other parts of a model than its denoiser. */
const BESIDE = /^(t5|umt5|clip|vae|ae[._-]|text_encoder|taes?[df])/i;

/** What a model of several files is called: like its denoiser, the largest but for those of other parts. @param {Files} files */
export function nameOf(files) {
  const names = [...files].sort((one, other) => other[1].size - one[1].size).map(([, { name }]) => name);
  return modelName(names.find((name) => MODEL.test(name) && !BESIDE.test(name)) ?? names[0] ?? "");
}

/** The name of a checkpoint. @param {string} name */
export const modelName = (name) => name.replace(MODEL, "");

/** @param {string} name @param {Files} files @param {Parameters<typeof start>[0]} handlers */
function take(name, files, handlers) {
  const [picture] = files.filter(([, { type }]) => type.startsWith("image/"));
  const isModel = files.some(([path]) => MODEL.test(path) || path.endsWith("model_index.json"));
  if (isModel || (files.length > 1 && !picture)) handlers.model(modelName(name), files);
  else if (files[0]) handlers.picture((picture ?? files[0])[1]);
}

/** The files below a dropped entry. @param {FileSystemEntry} entry @param {string} prefix @returns {Promise<Files>} */
async function walk(entry, prefix) {
  const path = prefix + entry.name;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
    return [[path, file]];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const files = [];
  for (;;) {
    // Each call gives a hundred entries at most.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return files;
    for (const child of some) files.push(...(await walk(child, `${path}/`)));
  }
}
