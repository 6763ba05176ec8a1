// The picture in the middle of the page: preview, result, progress and the time that is left.
import { $, duration } from "./dom.js";

/** @typedef {import("../easel/easel.d.ts").Progress} Progress */

const PHASES = {
  wait: "Another tab is fetching this model…",
  download: "Fetching the model",
  verify: "Checking the model",
  load: "Loading the model",
  encode: "Reading the prompt",
  denoise: "Drawing",
  decode: "Finishing",
};

const canvas = $("preview", HTMLCanvasElement);
const image = $("picture", HTMLImageElement);
const bar = $("progress", HTMLProgressElement);

/** The run that is shown: which picture of how many, and when its first step ended. */
let run = { picture: 0, of: 1, first: { step: 0, at: 0 } };

/** What a tab in the background shows: how far the work is, and its end until the visitor looks. */
const NAME = document.title;
let finished = true;
const title = (/** @type {string} */ news) => (document.title = news ? `${news} · ${NAME}` : NAME);
document.addEventListener("visibilitychange", () => finished && !document.hidden && title(""));

/** Shows that a run begins. @param {number} of the number of pictures */
export function begin(of) {
  finished = false;
  run = { picture: 0, of, first: { step: 0, at: 0 } };
  $("actions").inert = true;
  $("empty").hidden = true;
  bar.value = 0;
  tell("Starting");
}

/** Shows that the next picture begins. @param {number} picture */
export function next(picture) {
  run.picture = picture;
  run.first = { step: 0, at: 0 };
}

/** @param {Progress} progress */
export function progress({ phase, step, of, seconds }) {
  if (phase !== "denoise") {
    if (["download", "verify", "load"].includes(phase)) bar.value = of ? step / of : 0;
    if (phase === "download") title(`${Math.round(100 * bar.value)} % fetched`);
    const share = phase === "download" && of ? ` ${Math.floor((100 * step) / of)} %` : "";
    tell(PHASES[phase] + share, phase === "download" && step > 0 ? left(seconds / (step / of) - seconds) : "");
    return;
  }
  if (run.first.step === 0) run.first = { step, at: seconds };
  bar.value = (run.picture + step / of) / run.of;
  title(`${Math.round(100 * bar.value)} %`);
  const which = run.of > 1 ? `picture ${run.picture + 1} of ${run.of}, ` : "";
  const pace = (seconds - run.first.at) / (step - run.first.step);
  const rest = of - step + (run.of - run.picture - 1) * of;
  tell(`${PHASES[phase]}, ${which}step ${step} of ${of}`, step > run.first.step ? left(rest * pace) : "");
}

/** @param {ImageData} preview */
export function preview(preview) {
  canvas.width = preview.width;
  canvas.height = preview.height;
  canvas.getContext("2d")?.putImageData(preview, 0, 0);
  canvas.hidden = false;
  image.hidden = true;
}

/** Shows a finished picture. @param {Blob} file @param {string} alt */
export async function show(file, alt) {
  const url = URL.createObjectURL(file);
  const before = image.src;
  image.src = url;
  image.alt = alt;
  await image.decode().catch(() => {});
  if (before) URL.revokeObjectURL(before);
  image.hidden = false;
  canvas.hidden = true;
  $("empty").hidden = true;
  $("actions").inert = false;
}

/** Shows that a run is over. @param {string} text */
export function end(text) {
  bar.value = 0;
  finished = true;
  title(document.hidden ? text : "");
  tell(text);
  $("announce").textContent = text;
  const nothing = image.hidden && !image.src;
  if (image.src) {
    image.hidden = false;
    canvas.hidden = true;
    $("actions").inert = false;
  } else {
    canvas.hidden = true;
    $("empty").hidden = !nothing;
  }
}

/** @param {string} phase @param {string} [rest] */
function tell(phase, rest = "") {
  $("phase").textContent = phase;
  $("left").textContent = rest;
}

const left = (/** @type {number} */ seconds) => `${duration(Math.max(0, seconds))} left`;
