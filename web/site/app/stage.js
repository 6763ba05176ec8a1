// The picture in the middle of the page: preview, result, progress and the time that is left.
import { $, duration } from "./dom.js";
import { Estimate } from "./estimate.js";
import * as problem from "./problem.js";

/** @typedef {import("../easel/easel.d.ts").Progress} Progress */

const PHASES = {
  wait: "Another tab is fetching this model…",
  program: "Fetching the program",
  download: "Fetching the model",
  verify: "Checking the model",
  load: "Loading the model",
  prepare: "Preparing the graphics card: once, up to a minute or two",
  encode: "Reading the prompt",
  denoise: "Drawing",
  decode: "Finishing",
};
/** Phases whose units are bytes or components, each with a bar of its own. */
const COUNTED = ["program", "download", "verify", "load"];
const FETCHING = ["program", "download"];

const canvas = $("preview", HTMLCanvasElement);
const image = $("picture", HTMLImageElement);
const bar = $("progress", HTMLProgressElement);
const LOOKING = "Looking at the picture";

/** The run that is shown: which picture of how many, its phase, and how long that may last. */
let run = { picture: 0, of: 1, phase: "", estimate: new Estimate() };
/** What the caption says of the picture beside the phase. */
let caption = "";

/** What a tab in the background shows: how far the work is, and its end until the visitor looks. */
const NAME = document.title;
let finished = true;
const title = (/** @type {string} */ news) => (document.title = news ? `${news} · ${NAME}` : NAME);
document.addEventListener("visibilitychange", () => finished && !document.hidden && title(""));

/** Shows that a run begins. @param {number} of the number of pictures */
export function begin(of) {
  finished = false;
  run = { picture: 0, of, phase: "", estimate: new Estimate() };
  problem.hide();
  $("actions").inert = true;
  $("empty").hidden = true;
  bar.value = 0;
  tell("Starting");
}

/** Shows that the next picture begins. @param {number} picture */
export function next(picture) {
  run.picture = picture;
  run.phase = "";
}

/** @param {Progress} progress */
export function progress({ phase, step, of, seconds }) {
  if (phase !== run.phase) {
    run.phase = phase;
    run.estimate = FETCHING.includes(phase) ? Estimate.ofDownload() : new Estimate();
    if (["download", "load", "prepare", "denoise"].includes(phase)) $("announce").textContent = PHASES[phase];
  }
  if (phase === "denoise") return steps(step, of, seconds);
  if (COUNTED.includes(phase)) bar.value = of ? step / of : 0;
  if (phase === "prepare") bar.removeAttribute("value");
  if (phase === "download") title(`${Math.round(100 * bar.value)} % fetched`);
  const fetching = FETCHING.includes(phase) && of;
  tell(PHASES[phase] + (fetching ? ` ${Math.floor((100 * step) / of)} %` : ""), fetching ? left(run.estimate.left(step, of, seconds)) : "");
}

/** Shows that a model looks at the picture, which takes as long as it takes. */
export function look() {
  bar.removeAttribute("value");
  $("announce").textContent = LOOKING;
  tell(LOOKING);
}

/** Steps of a picture. @param {number} step @param {number} of @param {number} seconds */
function steps(step, of, seconds) {
  bar.value = (run.picture + step / of) / run.of;
  title(`${Math.round(100 * bar.value)} %`);
  const which = run.of > 1 ? `picture ${run.picture + 1} of ${run.of}, ` : "";
  const all = (run.of - run.picture) * of;
  tell(`${PHASES.denoise}, ${which}step ${step} of ${of}`, left(run.estimate.left(step, all, seconds)));
}

/** @param {ImageData} preview */
export function preview(preview) {
  canvas.width = preview.width;
  canvas.height = preview.height;
  canvas.getContext("2d")?.putImageData(preview, 0, 0);
  canvas.hidden = false;
  image.hidden = true;
}

/** Shows a finished picture. @param {Blob} file @param {string} alt @param {string} about what its caption says */
export async function show(file, alt, about) {
  const url = URL.createObjectURL(file);
  const before = image.src;
  image.src = url;
  image.alt = alt;
  caption = about;
  await image.decode().catch(() => {});
  if (before) URL.revokeObjectURL(before);
  image.hidden = false;
  canvas.hidden = true;
  $("empty").hidden = true;
  if (!finished) return;
  $("actions").inert = false;
  $("left").textContent = about;
}

/** Shows that a run is over. @param {string} text */
export function end(text) {
  bar.value = 0;
  finished = true;
  title(document.hidden ? text : "");
  tell(text, caption);
  if (text) $("announce").textContent = text;
  canvas.hidden = true;
  image.hidden = !image.src;
  $("empty").hidden = Boolean(image.src);
  $("actions").inert = !image.src;
}

/** Shows that a run has failed, and why. @param {Error} error @param {Parameters<typeof problem.show>[1]} ways */
export function fail(error, ways) {
  problem.show(error, ways);
  end("Stopped");
  // A failure is said by its panel, which stands in the place of the examples.
  $("announce").textContent = "";
  $("empty").hidden = true;
}

/** What the caption says. @param {string} phase @param {string} [rest] */
export function tell(phase, rest = "") {
  $("phase").textContent = phase;
  $("left").textContent = rest;
}

const left = (/** @type {number | undefined} */ seconds) => (seconds === undefined ? "" : `${duration(seconds)} left`);
