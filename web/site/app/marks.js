// What is drawn over a picture while something is selected in it: the outline, the points, the box, and the pointer of the keyboard.
import { $ } from "./dom.js";
import { path } from "./selection.js";

/**
 * @typedef {{ x: number, y: number }} Place in pixels of the picture
 * @typedef {Place & { inside: boolean }} Point
 * @typedef {[left: number, top: number, right: number, bottom: number]} Box
 * @typedef {{ points: Point[], box?: Box, pointer?: Place, selection?: import("./selection.js").Selection }} Marks
 */

const SVG = "http://www.w3.org/2000/svg";
const surface = $("select");
const svg = /** @type {SVGSVGElement} */ (/** @type {unknown} */ (surface.querySelector("svg")));

/** The longest side of the picture. */
let longest = 1;

/** Draws over a picture of this size from now on. @param {number} width @param {number} height */
export function over(width, height) {
  longest = Math.max(width, height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

/** @param {Marks} marks */
export function draw({ points, box, pointer, selection }) {
  const shapes = [];
  if (selection) {
    const d = path(selection);
    shapes.push(shape("path", { class: "area", d }), shape("path", { class: "under", d }), shape("path", { class: "line", d }));
  }
  if (box) {
    const [x, y, right, bottom] = box;
    const sides = { x, y, width: right - x, height: bottom - y };
    shapes.push(shape("rect", { class: "under", ...sides }), shape("rect", { class: "line", ...sides }));
  }
  shapes.push(...points.flatMap(point));
  if (pointer) shapes.push(...cross(pointer));
  svg.replaceChildren(...shapes);
}

/** @param {Point} point */
function point({ x, y, inside }) {
  const r = longest / 70;
  const half = r / 2;
  const sign = `M${x - half} ${y}h${2 * half}` + (inside ? `M${x} ${y - half}v${2 * half}` : "");
  return [shape("circle", { class: inside ? "inside" : "outside", cx: x, cy: y, r }), shape("path", { class: "sign", d: sign })];
}

/** @param {Place} place */
function cross({ x, y }) {
  const arm = longest / 30;
  const d = `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`;
  return [shape("path", { class: "under", d }), shape("path", { class: "line pointer", d })];
}

/** @param {string} tag @param {Record<string, string | number>} attributes */
function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** Where a pointer is, within the picture. @param {{ clientX: number, clientY: number }} event @returns {Place} */
export function place({ clientX, clientY }) {
  const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM()?.inverse());
  const { width, height } = svg.viewBox.baseVal;
  return { x: Math.max(0, Math.min(width, x)), y: Math.max(0, Math.min(height, y)) };
}
