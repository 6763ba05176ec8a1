// Checks the names of a picture's options, because misspelt ones would otherwise be ignored.
import { error } from "./error.js";

const KNOWN = [
  ...["prompt", "negativePrompt", "seed", "steps", "guidanceScale", "guidanceRescale", "eta", "width", "height", "scheduler"],
  ...["clipSkip", "weighting", "longPrompts", "initImage", "strength", "mask", "previewEvery"],
  ...["signal", "onProgress", "onPreview", "onWarning"],
];

/** Refuses an option that there is not, and names the nearest one. @param {object} options @param {string[]} [known] those that there are */
export function check(options, known = KNOWN) {
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const distances = known.map((name) => distance(plain(name), plain(unknown)));
  const nearest = known[distances.indexOf(Math.min(...distances))];
  throw error("InvalidRequest", `options: there is no ${unknown}; the nearest is ${nearest}`);
}

/** @param {string} name */
const plain = (name) => name.toLowerCase().replaceAll("_", "");

/** The number of letters to add, drop or change between two words. @param {string} a @param {string} b */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) next.push(Math.min(next[j] + 1, row[j + 1] + 1, row[j] + (letter === other ? 0 : 1)));
    row = next;
  }
  return row[b.length];
}
