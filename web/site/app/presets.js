// Ready-made choices: shapes of the picture, and styles, which are words that are put behind the prompt.
import { $ } from "./dom.js";

/** The model that comes with the page. */
export const BUILT_IN = "easel-emoji";

const COLOURS = ["white", "black", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"];

/** What the built-in model knows instead of styles: backgrounds. @type {[label: string, words: string][]} */
const BACKGROUNDS = COLOURS.map((colour) => [`On ${colour}`, ` on ${colour === "orange" ? "an" : "a"} ${colour} background`]);

/** @type {[label: string, words: string][]} */
const STYLES = [
  ["Photograph", ", photograph, natural light, sharp focus"],
  ["Watercolour", ", watercolour painting, soft washes, paper texture"],
  ["Oil painting", ", oil painting, visible brush strokes"],
  ["Pencil", ", pencil drawing, fine hatching"],
  ["Comic", ", comic book illustration, bold outlines, flat colours"],
  ["Pixel art", ", pixel art, 16 colours"],
  ["3D", ", 3D render, soft studio light"],
  ["Paper cut", ", paper cut-out, layered paper, soft shadows"],
];

/** Offers the styles that suit a model, and keeps the choice if it is among them. @param {string} model */
export function offer(model) {
  const select = $("style", HTMLSelectElement);
  const builtIn = model === BUILT_IN;
  const choices = builtIn ? BACKGROUNDS : STYLES;
  const choice = select.value;
  // What is said of the built-in model is not true of another one, nor of a server's.
  $("about").hidden = !builtIn || $("place", HTMLSelectElement).value === "server";
  $("style-label").textContent = builtIn ? "Background" : "Style";
  select.replaceChildren(new Option("As written", ""), ...choices.map(([label, words]) => new Option(label, words)));
  select.value = choices.some(([, words]) => words === choice) ? choice : "";
}

/** The prompt with the words of the style. @param {string} prompt */
export function styled(prompt) {
  const { value } = $("style", HTMLSelectElement);
  // A background that is named already is the visitor's own.
  return / background$/.test(value) && /\bbackground\b/i.test(prompt) ? prompt : prompt + value;
}

/** @param {(width: number, height: number) => void} onShape called with the ratio of the sides */
export function start(onShape) {
  $("shapes").addEventListener("click", ({ target }) => {
    const ratio = /** @type {HTMLElement} */ (target).dataset.shape?.split(":").map(Number);
    if (ratio) onShape(ratio[0], ratio[1]);
  });
}

/** Shows which shape the size is. @param {number} width @param {number} height */
export function mark(width, height) {
  for (const button of /** @type {NodeListOf<HTMLElement>} */ ($("shapes").querySelectorAll("[data-shape]"))) {
    const [across, down] = (button.dataset.shape ?? "").split(":").map(Number);
    button.ariaPressed = String(Math.abs(Math.log((width * down) / (height * across))) < 0.08);
  }
}
