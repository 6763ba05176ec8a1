// The pictures of one run, in a strip at the foot of the stage: to choose from, and to compare.
import { $, make } from "./dom.js";

/** @typedef {import("./run.js").Shown} Shown */

/** @type {{ shown: Shown, url: string }[]} */
let pictures = [];
/** @type {(shown: Shown) => void} */
let choose;
const compareButton = make("button", { type: "button", textContent: "Compare", ariaPressed: "false" });

/** @param {typeof choose} onChoose called with the picture to show */
export function start(onChoose) {
  choose = onChoose;
  compareButton.onclick = () => compare(Boolean($("compare").hidden));
}

/** Begins with another run. @param {number} count of its pictures */
export function begin(count) {
  compare(false);
  for (const { url } of pictures) URL.revokeObjectURL(url);
  pictures = [];
  $("batch").replaceChildren();
  $("batch").hidden = count < 2;
}

/** Adds a picture that has been drawn, which is the one on the stage. @param {Shown} shown */
export function add(shown) {
  const entry = { shown, url: URL.createObjectURL(shown.image) };
  pictures.push(entry);
  const number = pictures.length;
  const button = make("button", { type: "button", ariaLabel: `Picture ${number}, seed ${shown.seed}`, onclick: () => select(entry) });
  button.append(make("img", { src: entry.url, alt: "" }));
  $("batch").append(button, ...(number > 1 ? [compareButton] : []));
  mark(entry);
}

/** @param {typeof pictures[number]} entry */
function select(entry) {
  compare(false);
  mark(entry);
  choose(entry.shown);
}

/** @param {typeof pictures[number]} entry */
function mark(entry) {
  for (const [index, button] of [...$("batch").querySelectorAll("button:has(img)")].entries()) {
    button.ariaPressed = String(pictures[index] === entry);
  }
}

/** Shows all of them side by side, or one. @param {boolean} is */
function compare(is) {
  compareButton.ariaPressed = String(is);
  $("compare").hidden = !is;
  $("compare").style.setProperty("--across", String(Math.ceil(Math.sqrt(pictures.length))));
  const tiles = pictures.map((entry, index) => {
    const tile = make("button", { type: "button", ariaLabel: `Show picture ${index + 1}, seed ${entry.shown.seed}`, onclick: () => select(entry) });
    tile.append(make("img", { src: entry.url, alt: "" }), make("span", {}, `Seed ${entry.shown.seed}`));
    return tile;
  });
  $("compare").replaceChildren(...(is ? tiles : []));
}
