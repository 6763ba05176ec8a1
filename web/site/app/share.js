// A picture for other programs: the clipboard, and the system's own way to share.
import { $, say } from "./dom.js";

/** Offers what this browser can do. */
export function start() {
  const [copies, shares] = ["copy", "share"].map((action) => /** @type {HTMLElement} */ ($("actions").querySelector(`[data-action=${action}]`)));
  copies.hidden = !navigator.clipboard?.write || typeof ClipboardItem !== "function";
  const file = new File([], "picture.png", { type: "image/png" });
  shares.hidden = !navigator.canShare?.({ files: [file] });
}

/** @param {Blob} image */
export async function copy(image) {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": image })]);
    say("Picture copied");
  } catch {
    say("This browser did not allow the picture to be copied; download it instead");
  }
}

/** @param {Blob} image @param {string} name */
export async function share(image, name) {
  try {
    await navigator.share({ files: [new File([image], name, { type: "image/png" })] });
  } catch (error) {
    if (/** @type {Error} */ (error).name !== "AbortError") say("The picture could not be shared; download it instead");
  }
}
