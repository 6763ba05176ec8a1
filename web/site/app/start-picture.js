// The picture to start from: a thumbnail beside the button that draws, painted on the stage.
import * as brush from "./brush.js";
import { $, say } from "./dom.js";

const canvas = $("start-canvas", HTMLCanvasElement);

/** @type {{ file: Blob, bitmap: ImageBitmap } | undefined} */
let picture;
/** Called with the width and height of the picture to start from. @type {(width: number, height: number) => void} */
let onPicture;
/** What the stage shows where nothing is painted. @type {() => void} */
let onLeave;

/** @param {{ onPicture: typeof onPicture, onLeave: typeof onLeave, onSelect(file: Blob): void }} handlers */
export function start(handlers) {
  ({ onPicture, onLeave } = handlers);
  $("start-select").onclick = () => picture && handlers.onSelect(picture.file);
  brush.start({ onChange: thumbnail, onDone: () => leave(true) });
  $("start-file", HTMLInputElement).onchange = ({ target }) => {
    const input = /** @type {HTMLInputElement} */ (target);
    if (input.files?.[0]) use(input.files[0]);
    input.value = "";
  };
  $("start-edit").onclick = edit;
  $("start-remove").onclick = remove;
}

/** The part of the request: nothing, a picture, or a picture and a mask. */
export async function read() {
  if (!picture) return {};
  const strength = Number($("strength", HTMLInputElement).value);
  const mask = await brush.read();
  return mask ? { initImage: picture.file, mask, strength } : { initImage: picture.file, strength };
}

/** Starts from this file. @param {Blob} file @param {OffscreenCanvas} [area] what is painted at first, white on nothing */
export async function use(file, area) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    say("This browser cannot read that picture");
    return;
  }
  picture?.bitmap.close();
  picture = { file, bitmap };
  onPicture(bitmap.width, bitmap.height);
  brush.open(bitmap);
  if (area) brush.fill(area);
  for (const id of ["start-thumb", "strength-field"]) $(id).hidden = false;
  $("start-pick").hidden = true;
  thumbnail();
  edit();
}

/** Whether the picture is being painted on. */
export const isOpen = () => !canvas.hidden;

/** Brings the picture to the stage, to be painted on. */
function edit() {
  canvas.hidden = $("tools").hidden = false;
  $("actions").hidden = true;
  $("paper").classList.add("painting");
  $("phase").textContent = "Paint what is to be redrawn, or draw at once to redo all of it";
  $("left").textContent = "";
  canvas.focus({ preventScroll: true });
}

/** Takes the brush away; the paint stays. @param {boolean} [byVisitor] whose focus then goes to what draws */
export function leave(byVisitor) {
  if (!isOpen()) return;
  canvas.hidden = $("tools").hidden = true;
  $("actions").hidden = false;
  $("paper").classList.remove("painting");
  if (!byVisitor) return;
  $("generate").focus({ preventScroll: true });
  onLeave();
}

function remove() {
  leave();
  picture?.bitmap.close();
  picture = undefined;
  brush.close();
  for (const id of ["start-thumb", "strength-field"]) $(id).hidden = true;
  $("start-pick").hidden = false;
  $("start-file").focus({ preventScroll: true });
  onLeave();
}

function thumbnail() {
  const painted = brush.isPainted();
  const name = painted ? "Starts from this picture, redrawn where it is painted" : "Starts from this picture";
  $("start-edit").ariaLabel = `${name}. Paint on it`;
  brush.drawOn($("start-small", HTMLCanvasElement));
}
