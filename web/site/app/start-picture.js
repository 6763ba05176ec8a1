// The picture to start from, and the brush that marks where to redraw it.
import { $, say } from "./dom.js";

/** The longest side of the editor's canvas: finer than any latent of a picture that fits a browser. */
const LONGEST = 1024;
const PAINT = "#d9552bb0";

const canvas = $("start-canvas", HTMLCanvasElement);
const brush = $("brush", HTMLInputElement);
const painting = $("paint", HTMLInputElement);

/** @type {{ file: Blob, bitmap: ImageBitmap } | undefined} */
let picture;
/** White where the picture is to be redrawn, else transparent. @type {OffscreenCanvas | undefined} */
let mask;
let painted = false;
/** Where the brush is, in pixels of the canvas. @type {{ x: number, y: number } | undefined} */
let at;

/** Called with the width and height of the picture to start from. @type {(width: number, height: number) => void} */
let onPicture;

/** @param {typeof onPicture} onUse */
export function start(onUse) {
  onPicture = onUse;
  $("start-file", HTMLInputElement).onchange = ({ target }) => {
    const input = /** @type {HTMLInputElement} */ (target);
    if (input.files?.[0]) use(input.files[0]);
    input.value = "";
  };
  $("start-remove").onclick = remove;
  $("mask-clear").onclick = clear;
  painting.onchange = () => {
    $("brush-field").hidden = !painting.checked;
    canvas.classList.toggle("painting", painting.checked);
    at = undefined;
    render();
  };
  canvas.onpointerdown = (event) => {
    if (!painting.checked) return;
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  };
  canvas.onpointermove = (event) => {
    if (!painting.checked) return;
    if (event.buttons) stroke(event);
    else render((at = place(event)));
  };
  canvas.onpointerleave = canvas.onblur = () => render((at = undefined));
  canvas.onkeydown = steer;
}

/** The part of the request: nothing, a picture, or a picture and a mask. */
export async function read() {
  if (!picture) return {};
  const strength = Number($("strength", HTMLInputElement).value);
  if (!painting.checked || !painted || !mask) return { initImage: picture.file, strength };
  const whole = new OffscreenCanvas(mask.width, mask.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (whole.getContext("2d"));
  context.fillRect(0, 0, whole.width, whole.height);
  context.drawImage(mask, 0, 0);
  return { initImage: picture.file, mask: await whole.convertToBlob({ type: "image/png" }), strength };
}

/** Starts from this file. @param {Blob} file */
export async function use(file) {
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
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  mask = new OffscreenCanvas(canvas.width, canvas.height);
  clear();
  $("start-editor").hidden = false;
  $("start-drop").hidden = true;
  $("start", HTMLDetailsElement).open = true;
}

function remove() {
  picture?.bitmap.close();
  picture = mask = undefined;
  painting.checked = false;
  painting.dispatchEvent(new Event("change"));
  $("start-editor").hidden = true;
  $("start-drop").hidden = false;
  $("start-file").focus();
}

function clear() {
  mask?.getContext("2d")?.clearRect(0, 0, mask.width, mask.height);
  painted = false;
  $("mask-clear", HTMLButtonElement).disabled = true;
  render();
}

/** The brush's radius in pixels of the canvas. */
const radius = () => (Number(brush.value) / 200) * Math.max(canvas.width, canvas.height);

/** @param {PointerEvent} event */
function place({ clientX, clientY }) {
  const box = canvas.getBoundingClientRect();
  return { x: ((clientX - box.left) / box.width) * canvas.width, y: ((clientY - box.top) / box.height) * canvas.height };
}

/** Paints from where the brush was to where the pointer is. @param {PointerEvent} event */
function stroke(event) {
  const to = place(event);
  line(event.type === "pointerdown" || !at ? to : at, to);
  at = to;
  render();
}

/** @param {{ x: number, y: number }} from @param {{ x: number, y: number }} to */
function line(from, to) {
  const context = mask?.getContext("2d");
  if (!context) return;
  Object.assign(context, { lineWidth: 2 * radius(), lineCap: "round", strokeStyle: "#fff" });
  context.beginPath();
  context.moveTo(from.x, from.y);
  // A line of no length would not be drawn.
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
  painted = true;
  $("mask-clear", HTMLButtonElement).disabled = false;
}

/** The brush by keyboard. @param {KeyboardEvent} event */
function steer(event) {
  if (!painting.checked) return;
  const moves = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] });
  const move = moves[event.key];
  if (!move && event.key !== " ") return;
  event.preventDefault();
  at ??= { x: canvas.width / 2, y: canvas.height / 2 };
  const step = radius() / 2;
  const clamp = (/** @type {number} */ value, /** @type {number} */ most) => Math.max(0, Math.min(most, value));
  if (move) at = { x: clamp(at.x + move[0] * step, canvas.width), y: clamp(at.y + move[1] * step, canvas.height) };
  else line(at, at);
  render();
}

/** Draws picture, paint and brush. @param {unknown} [_] */
function render(_) {
  const context = canvas.getContext("2d");
  if (!context || !picture || !mask) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture.bitmap, 0, 0, canvas.width, canvas.height);
  if (!painting.checked) return;
  const tint = new OffscreenCanvas(canvas.width, canvas.height);
  const paint = /** @type {OffscreenCanvasRenderingContext2D} */ (tint.getContext("2d"));
  paint.drawImage(mask, 0, 0);
  Object.assign(paint, { globalCompositeOperation: "source-in", fillStyle: PAINT });
  paint.fillRect(0, 0, tint.width, tint.height);
  context.drawImage(tint, 0, 0);
  if (!at) return;
  context.beginPath();
  context.arc(at.x, at.y, radius(), 0, 2 * Math.PI);
  Object.assign(context, { strokeStyle: "#fff", lineWidth: canvas.width / 200 });
  context.stroke();
  Object.assign(context, { strokeStyle: "#000", lineWidth: canvas.width / 500 });
  context.stroke();
}
