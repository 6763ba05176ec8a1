// Select: a click on a picture selects the thing under it. What is selected is cut out, or redrawn.
import * as concepts from "./concepts.js";
import { $, download } from "./dom.js";
import * as looking from "./looking.js";
import * as marks from "./marks.js";
import * as selection from "./selection.js";
import * as stage from "./stage.js";

/**
 * @typedef {import("../easel/analysis.d.ts").Segment} Segment
 * @typedef {import("../easel/analysis.d.ts").SegmentedPicture} Seen
 * @typedef {import("./marks.js").Place} Place
 * @typedef {{ points: import("./marks.js").Point[], box?: import("./marks.js").Box, mask?: Float32Array }} Prompt what is meant
 */

/** Whether the visitor points with a finger, which has no keys beside it. */
const isTouch = matchMedia("(pointer: coarse)").matches;
/** The longest side of what the network is given: finer than it sees, and less than a camera's picture. */
const LONGEST = 2048;
/** Pixels of the screen that a pointer has to pass to draw a box. */
const DRAG = 6;

const surface = $("select");
const button = (/** @type {string} */ id) => $(id, HTMLButtonElement);

/** @type {{ work: typeof import("./run.js").work, redraw(image: Blob, area: OffscreenCanvas): void, miss(onReady: () => void): void }} */
let page;
/** The picture that is open, and its name. @type {{ image: Blob, name: string, seen: Seen } | undefined} */
let picture;
/** What the visitor has pointed out, step by step. @type {Prompt[]} */
let prompts = [];
/** The masks for the last of them, the smallest first, and the one that is shown. @type {Segment[]} */
let masks = [];
let shown = 0;
let inverted = false;
/** Whether what is pointed at does not belong to it. */
let excluding = false;
/** What is selected. @type {selection.Selection | undefined} */
let selected;
/** The number of the last question: the answers to earlier ones come too late. */
let asked = 0;
/** Where the keyboard's pointer is. @type {Place | undefined} */
let pointer;
/** The first corner of the box that is being set. @type {Place | undefined} */
let corner;

/** @param {typeof page} handlers what runs long tasks, what redraws a part of a picture, and what to do where no model is here */
export function start(handlers) {
  page = handlers;
  listen();
  for (const [id, run] of Object.entries({ exclude, other, invert, undo, redraw, cut, done })) button(`select-${id}`).onclick = run;
  const region = async () => {
    if (!picture) throw new Error("No picture is open");
    return selected ? { image: await selection.cropped(picture.image, selected), name: "In the selection" } : { image: picture.image, name: "In the picture" };
  };
  const miss = () => {
    const { image, name } = picture ?? {};
    page.miss(() => image && begin(image, name ?? ""));
  };
  concepts.start({ region, tell: (text) => stage.tell(text || hint(), about()), miss });
}

/** Whether something is being selected. */
export const isOpen = () => picture !== undefined;

/** Opens a picture to select something in it. @param {Blob} image @param {string} name what its cut-out is called */
export async function begin(image, name) {
  leave();
  const model = await looking.chosen("segmenter");
  if (!model) return page.miss(() => begin(image, name));
  const opened = await page.work(1, async (signal) => {
    const segmenter = await looking.segmenter(model, { signal, onProgress: stage.progress });
    stage.look();
    picture = { image, name, seen: await segmenter.embed(await readable(image), { signal }) };
    return "";
  }, () => begin(image, name));
  if (opened && picture) open(picture);
}

/** The picture as a PNG that is no larger than is looked at. @param {Blob} image */
async function readable(image) {
  const bitmap = await createImageBitmap(image);
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale)));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/png" });
}

/** @param {NonNullable<typeof picture>} opened */
function open({ image, seen }) {
  $("select-picture", HTMLImageElement).src = URL.createObjectURL(image);
  marks.over(seen.width, seen.height);
  for (const id of ["select", "select-tools", "concepts"]) $(id).hidden = false;
  $("actions").hidden = true;
  $("paper").classList.add("selecting");
  restart();
  surface.focus({ preventScroll: true });
}

/** Puts the picture away. @param {boolean} [byVisitor] whose focus then goes to what has opened it */
export function leave(byVisitor) {
  if (!picture) return;
  picture.seen.dispose();
  picture = undefined;
  asked++;
  concepts.end();
  const image = $("select-picture", HTMLImageElement);
  URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
  for (const id of ["select", "select-tools", "concepts"]) $(id).hidden = true;
  $("actions").hidden = false;
  $("paper").classList.remove("selecting");
  if (!byVisitor) return;
  stage.end("");
  /** @type {HTMLElement | null} */ (document.querySelector("#actions [data-action=select]"))?.focus({ preventScroll: true });
}

function restart() {
  [prompts, masks, selected, inverted, excluding, pointer, corner] = [[], [], undefined, false, false, undefined, undefined];
  refresh();
}

function listen() {
  /** Where a drag began, on the screen and in the picture. @type {{ event: PointerEvent, from: Place } | undefined} */
  let drag;
  const isDrag = (/** @type {PointerEvent} */ event) => drag !== undefined && Math.hypot(event.clientX - drag.event.clientX, event.clientY - drag.event.clientY) > DRAG;
  surface.onpointerdown = (event) => {
    if (event.button !== 0) return;
    surface.setPointerCapture(event.pointerId);
    drag = { event, from: marks.place(event) };
    pointer = undefined;
  };
  surface.onpointermove = (event) => {
    if (drag && isDrag(event)) draw(between(drag.from, marks.place(event)));
  };
  surface.onpointerup = (event) => {
    if (!drag) return;
    if (isDrag(event)) box(between(drag.from, marks.place(event)));
    else point(marks.place(event), !event.shiftKey && !excluding);
    drag = undefined;
  };
  surface.onpointercancel = () => {
    drag = undefined;
    draw();
  };
  surface.onkeydown = (event) => {
    const run = shortcut(event);
    if (!run) return;
    event.preventDefault();
    run();
  };
}

/** @param {Place} one @param {Place} other @returns {import("./marks.js").Box} */
const between = (one, other) => [Math.min(one.x, other.x), Math.min(one.y, other.y), Math.max(one.x, other.x), Math.max(one.y, other.y)];

/** @type {Record<string, [number, number]>} */
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What a key does, if it does anything. @param {KeyboardEvent} event @returns {(() => void) | undefined} */
function shortcut({ key, shiftKey, ctrlKey, metaKey, altKey }) {
  if (altKey) return undefined;
  if (ctrlKey || metaKey) return key.toLowerCase() === "z" ? undo : undefined;
  if (MOVES[key]) return () => move(MOVES[key], shiftKey ? 4 : 1);
  if (key === " ") return () => point(here(), !shiftKey);
  if (key === "Enter") return redraw;
  /** @type {Record<string, () => void>} */
  const letters = { b: setCorner, m: other, i: invert, x: () => point(here(), false) };
  return letters[key.toLowerCase()];
}

/** Where the keyboard's pointer is, at first in the middle. */
function here() {
  const { width = 1, height = 1 } = picture?.seen ?? {};
  pointer ??= { x: width / 2, y: height / 2 };
  return pointer;
}

/** @param {[number, number]} direction @param {number} steps */
function move([x, y], steps) {
  const { width = 1, height = 1 } = picture?.seen ?? {};
  const from = here();
  const step = (steps * Math.max(width, height)) / 48;
  pointer = { x: Math.max(0, Math.min(width, from.x + x * step)), y: Math.max(0, Math.min(height, from.y + y * step)) };
  draw(corner && between(corner, pointer));
}

function setCorner() {
  if (corner) {
    const whole = between(corner, here());
    corner = undefined;
    return box(whole);
  }
  corner = here();
  announce("First corner of a box set. Move to the other one and press B again.");
}

/** @param {Place} place @param {boolean} inside */
function point({ x, y }, inside) {
  const { points, box } = prompts.at(-1) ?? { points: [] };
  if (!inside && points.length === 0 && !box) return announce("Select something first, and then what does not belong to it");
  ask({ points: [...points, { x, y, inside }], box });
}

/** @param {import("./marks.js").Box} box */
function box(box) {
  if (box[2] - box[0] < 1 || box[3] - box[1] < 1) return draw();
  ask({ points: prompts.at(-1)?.points ?? [], box });
}

/** Adds what the visitor has pointed out; what is shown so far is a beginning for the network. @param {Prompt} prompt */
function ask(prompt) {
  prompts.push({ ...prompt, mask: masks[shown]?.logits });
  answer();
}

/** Selects what the visitor has pointed out. */
async function answer() {
  const prompt = prompts.at(-1);
  const seen = picture?.seen;
  const mine = ++asked;
  if (!prompt || !seen) return restart();
  draw();
  stage.tell("Selecting…", "");
  try {
    // One point may mean a part or the whole; more of them say which.
    const isClear = prompt.mask !== undefined || prompt.box !== undefined;
    const found = await seen.segment({ ...prompt, single: isClear });
    if (mine !== asked) return;
    const best = found.reduce((best, segment) => (segment.iou > best.iou ? segment : best));
    masks = found.toSorted((one, other) => area(one) - area(other));
    await choose(masks.indexOf(best));
  } catch (error) {
    if (mine === asked) stage.tell(/** @type {Error} */ (error).message, "");
  }
}

/** @param {Segment} segment */
const area = ({ mask }) => mask.reduce((sum, level) => sum + (level ? 1 : 0), 0);

/** Shows one of the masks. @param {number} which */
async function choose(which) {
  const [seen, mine] = [picture?.seen, asked];
  shown = which;
  const { width, height, mask } = masks[which];
  const polygons = (await seen?.polygons(masks[which], { tolerance: Math.max(width, height) / 1000 })) ?? [];
  if (mine !== asked || shown !== which) return;
  const whole = { width, height, mask, polygons, inverted: false };
  selected = inverted ? selection.inverse(whole) : whole;
  refresh();
  announce(`Selected: ${about()}`);
}

/** Lets what is pointed at next be taken away, or added again. */
function exclude() {
  excluding = !excluding;
  refresh();
}

/** The next larger mask, after the largest the smallest. */
function other() {
  if (masks.length > 1) choose((shown + 1) % masks.length);
}

function invert() {
  if (!selected) return;
  inverted = !inverted;
  selected = selection.inverse(selected);
  refresh();
  announce(`Inverted: ${about()}`);
}

function undo() {
  prompts.pop();
  masks = [];
  answer();
}

/** Accepts: what is selected is to be redrawn. */
function redraw() {
  if (!picture || !selected) return announce("Nothing is selected yet");
  const [{ image }, area] = [picture, selection.canvas(selected)];
  leave();
  page.redraw(image, area);
}

async function cut() {
  if (!picture || !selected) return;
  download(await selection.cutOut(picture.image, selected), picture.name.replace(/(\.png)?$/, "-cut-out.png"));
  announce("Cut out and saved");
}

function done() {
  leave(true);
}

/** The marks, the buttons and the words below the picture. */
function refresh() {
  draw();
  button("select-other").disabled = masks.length < 2;
  button("select-undo").disabled = prompts.length === 0;
  for (const id of ["exclude", "invert", "redraw", "cut"]) button(`select-${id}`).disabled = !selected;
  button("select-exclude").ariaPressed = String(excluding);
  button("select-invert").ariaPressed = String(inverted);
  stage.tell(hint(), about());
}

/** @param {import("./marks.js").Box} [dragged] a box that is being drawn */
function draw(dragged) {
  const { points, box } = prompts.at(-1) ?? { points: [] };
  marks.draw({ points, box: dragged ?? box, pointer, selection: selected });
}

/** What can be done next. */
function hint() {
  if (!selected) return `${isTouch ? "Tap" : "Click"} what you want, or drag a box around it`;
  return isTouch ? "Exclude, then tap what does not belong to it; or accept" : "Shift-click what does not belong to it, or accept";
}

/** What is selected, in words. */
function about() {
  if (!selected) return "";
  const percent = 100 * selection.share(selected);
  const size = `${percent.toFixed(percent < 10 ? 1 : 0)} % of the picture`;
  return masks.length > 1 ? `${size}, size ${shown + 1} of ${masks.length}` : size;
}

/** @param {string} text */
const announce = (text) => void ($("announce").textContent = text);
