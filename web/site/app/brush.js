// The brush: strokes on a canvas over the picture, which mark where it is to be redrawn. They can be erased and undone.
import { $ } from "./dom.js";

/** The longest side of the canvas: finer than any latent of a picture that fits a browser. */
const LONGEST = 1024;
/** Stripes of two colours: one of them stands out from any picture. */
const PAINT = ["#d9552bc0", "#14213dc0"];

/**
 * One stroke: the width of its line and the places that it passes, in pixels of the canvas; or an area, white on nothing.
 * @typedef {{ x: number, y: number }} Place
 * @typedef {{ erases: boolean, width: number, places: Place[], area?: OffscreenCanvas }} Stroke
 */

const canvas = $("start-canvas", HTMLCanvasElement);
const size = $("brush", HTMLInputElement);

/** @type {ImageBitmap | undefined} */
let picture;
/** White where the picture is to be redrawn, else transparent. */
let mask = new OffscreenCanvas(1, 1);
/** @type {Stroke[]} */
let strokes = [];
/** Strokes that were undone, the last one at the end. @type {Stroke[]} */
let undone = [];
let erasing = false;
/** Where the brush is. @type {Place | undefined} */
let at;
/** @type {() => void} */
let changed;
/** @type {() => void} */
let done;

/** @param {{ onChange(): void, onDone(): void }} handlers */
export function start({ onChange, onDone }) {
  [changed, done] = [onChange, onDone];
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    at = place(event);
    begin(at);
  };
  canvas.onpointermove = (event) => {
    at = place(event);
    if (event.buttons) extend(at);
    else render();
  };
  canvas.onpointerup = changed;
  canvas.onpointerleave = canvas.onblur = () => {
    at = undefined;
    render();
  };
  canvas.addEventListener("wheel", resize, { passive: false });
  canvas.onkeydown = press;
  size.oninput = render;
  $("erase").onclick = toggleEraser;
  $("undo").onclick = undo;
  $("redo").onclick = redo;
  $("mask-clear").onclick = clear;
  $("start-done").onclick = done;
}

/** Begins with this picture, unpainted. @param {ImageBitmap} bitmap */
export function open(bitmap) {
  picture = bitmap;
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  mask = new OffscreenCanvas(canvas.width, canvas.height);
  [strokes, undone, at] = [[], [], undefined];
  refresh();
}

/** Paints all of an area. @param {OffscreenCanvas} area */
export function fill(area) {
  strokes.push({ erases: false, width: 0, places: [], area });
  undone = [];
  repaint();
}

export function close() {
  picture = undefined;
  [strokes, undone] = [[], []];
}

/** The mask as a picture file: white is redrawn. Nothing if nothing is painted. */
export async function read() {
  if (!isPainted()) return undefined;
  const whole = new OffscreenCanvas(mask.width, mask.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (whole.getContext("2d"));
  context.fillRect(0, 0, whole.width, whole.height);
  context.drawImage(mask, 0, 0);
  return whole.convertToBlob({ type: "image/png" });
}

/** Whether anything is painted that has not been erased, judged on a small copy: the mask may have a million pixels. */
export function isPainted() {
  if (strokes.length === 0) return false;
  const small = new OffscreenCanvas(128, 128);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (small.getContext("2d"));
  context.drawImage(mask, 0, 0, small.width, small.height);
  const { data } = context.getImageData(0, 0, small.width, small.height);
  return data.some((value, index) => index % 4 === 3 && value > 20);
}

/** Draws picture and paint, without the brush, on another canvas. @param {HTMLCanvasElement} other */
export function drawOn(other) {
  const context = other.getContext("2d");
  if (!context || !picture) return;
  const scale = Math.max(other.width / canvas.width, other.height / canvas.height);
  const [width, height] = [canvas.width * scale, canvas.height * scale];
  const box = /** @type {[number, number, number, number]} */ ([(other.width - width) / 2, (other.height - height) / 2, width, height]);
  context.drawImage(picture, ...box);
  context.drawImage(tint(), ...box);
}

function toggleEraser() {
  erasing = !erasing;
  $("erase").ariaPressed = String(erasing);
}

function undo() {
  const last = strokes.pop();
  if (last) undone.push(last);
  repaint();
}

function redo() {
  const next = undone.pop();
  if (next) strokes.push(next);
  repaint();
}

function clear() {
  [strokes, undone] = [[], []];
  repaint();
}

/** The brush's radius in pixels of the canvas. */
const radius = () => (Number(size.value) / 200) * Math.max(canvas.width, canvas.height);

/** @param {number} by */
function grow(by) {
  size.value = String(Number(size.value) + by);
  render();
}

/** @param {WheelEvent} event */
function resize(event) {
  if (event.ctrlKey) return;
  event.preventDefault();
  grow(event.deltaY < 0 ? 2 : -2);
}

/** Where the pointer is: the canvas shows its picture as large as fits, in the middle. @param {PointerEvent} event @returns {Place} */
function place({ clientX, clientY }) {
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(box.width / canvas.width, box.height / canvas.height);
  const left = box.left + (box.width - canvas.width * scale) / 2;
  const top = box.top + (box.height - canvas.height * scale) / 2;
  return { x: (clientX - left) / scale, y: (clientY - top) / scale };
}

/** @param {Place} from */
function begin(from) {
  strokes.push({ erases: erasing, width: 2 * radius(), places: [from] });
  undone = [];
  line(strokes[strokes.length - 1], from, from);
  refresh();
}

/** @param {Place} to */
function extend(to) {
  const stroke = strokes.at(-1);
  if (!stroke) return;
  line(stroke, stroke.places[stroke.places.length - 1], to);
  stroke.places.push(to);
  render();
}

/** @param {Stroke} stroke @param {Place} from @param {Place} to */
function line({ erases, width }, from, to) {
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (mask.getContext("2d"));
  const globalCompositeOperation = erases ? "destination-out" : "source-over";
  Object.assign(context, { globalCompositeOperation, lineWidth: width, lineCap: "round", strokeStyle: "#fff" });
  context.beginPath();
  context.moveTo(from.x, from.y);
  // A line of no length would not be drawn.
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
}

/** @param {OffscreenCanvas} area */
function stamp(area) {
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (mask.getContext("2d"));
  context.globalCompositeOperation = "source-over";
  context.drawImage(area, 0, 0, mask.width, mask.height);
}

/** Draws all strokes anew. */
function repaint() {
  mask.getContext("2d")?.clearRect(0, 0, mask.width, mask.height);
  for (const stroke of strokes) {
    if (stroke.area) stamp(stroke.area);
    for (const [index, to] of stroke.places.entries()) line(stroke, stroke.places[Math.max(0, index - 1)], to);
  }
  refresh();
  changed();
}

/** @type {Record<string, [number, number]>} */
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The brush by keyboard. @param {KeyboardEvent} event */
function press(event) {
  const run = shortcut(event);
  if (!run) return;
  event.preventDefault();
  run();
}

/** What a key does, if it does anything. @param {KeyboardEvent} event @returns {(() => void) | undefined} */
function shortcut({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  if (altKey) return undefined;
  if (ctrlKey || metaKey) {
    if (key.toLowerCase() === "z") return shiftKey ? redo : undo;
    return key.toLowerCase() === "y" ? redo : undefined;
  }
  if (key === "[") return () => grow(-2);
  if (key === "]") return () => grow(2);
  if (key.toLowerCase() === "e") return toggleEraser;
  if (key === "Enter") return done;
  if (key !== " " && !MOVES[key]) return undefined;
  return () => {
    at ??= { x: canvas.width / 2, y: canvas.height / 2 };
    if (key === " ") {
      begin(at);
      changed();
    } else move(MOVES[key]);
  };
}

/** Moves the brush by half its radius. @param {[number, number]} direction */
function move([x, y]) {
  const from = /** @type {Place} */ (at);
  const clamp = (/** @type {number} */ value, /** @type {number} */ most) => Math.max(0, Math.min(most, value));
  at = { x: clamp(from.x + (x * radius()) / 2, canvas.width), y: clamp(from.y + (y * radius()) / 2, canvas.height) };
  render();
}

/** The buttons that the strokes allow, and the picture. */
function refresh() {
  $("undo", HTMLButtonElement).disabled = strokes.length === 0;
  $("redo", HTMLButtonElement).disabled = undone.length === 0;
  $("mask-clear", HTMLButtonElement).disabled = strokes.length === 0;
  render();
}

/** @param {OffscreenCanvasRenderingContext2D} context */
function stripes(context) {
  const side = Math.max(4, 2 * Math.round(Math.max(canvas.width, canvas.height) / 64));
  const tile = new OffscreenCanvas(side, side);
  const paint = /** @type {OffscreenCanvasRenderingContext2D} */ (tile.getContext("2d"));
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      paint.fillStyle = PAINT[(x + y) % side < side / 2 ? 0 : 1];
      paint.fillRect(x, y, 1, 1);
    }
  }
  return context.createPattern(tile, "repeat") ?? PAINT[0];
}

/** The mask in the colour of paint. */
function tint() {
  const tinted = new OffscreenCanvas(canvas.width, canvas.height);
  const paint = /** @type {OffscreenCanvasRenderingContext2D} */ (tinted.getContext("2d"));
  paint.drawImage(mask, 0, 0);
  Object.assign(paint, { globalCompositeOperation: "source-in", fillStyle: stripes(paint) });
  paint.fillRect(0, 0, tinted.width, tinted.height);
  return tinted;
}

/** Draws picture, paint and brush. */
function render() {
  const context = canvas.getContext("2d");
  if (!context || !picture) return;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.drawImage(tint(), 0, 0);
  if (!at) return;
  context.beginPath();
  context.arc(at.x, at.y, radius(), 0, 2 * Math.PI);
  Object.assign(context, { strokeStyle: "#fff", lineWidth: canvas.width / 200 });
  context.stroke();
  Object.assign(context, { strokeStyle: "#000", lineWidth: canvas.width / 500 });
  context.stroke();
}
