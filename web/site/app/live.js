// Drawing while the visitor types: with a model of few steps the picture follows the words.
import { $ } from "./dom.js";
import * as form from "./form.js";
import * as run from "./run.js";

/** The most steps, and the most seconds a picture, with which this is a pleasure. */
const MOST_STEPS = 4;
const SLOWEST = 1.5;
/** Milliseconds without a key after which the words are drawn. */
const PAUSE = 250;

const box = $("live", HTMLInputElement);
let timer = 0;

export function start() {
  $("prompt").addEventListener("input", () => {
    clearTimeout(timer);
    run.endSketch();
    if (isOn()) timer = setTimeout(sketch, PAUSE);
  });
}

/** Offers it for a model that is quick enough. @param {number | undefined} steps what the model takes for a picture */
export function offer(steps) {
  $("live-field").hidden = steps === undefined || steps > MOST_STEPS;
}

const isOn = () => box.checked && !$("live-field").hidden && form.numbers().steps <= MOST_STEPS && !form.server();

async function sketch() {
  if (!form.words().prompt) return;
  const seconds = await run.sketch();
  if (seconds === undefined || seconds <= SLOWEST) return;
  box.checked = false;
  $("note").textContent = `A picture takes ${seconds.toFixed(1)} s here, too long to follow the words. Enter draws.`;
}
