// Errors in plain words for visitors, on the stage until they are answered.
import { $, brief } from "./dom.js";

/**
 * What a kind of error means to a visitor. `lasting` errors come again however often the same is tried.
 * @typedef {{ words: string, lasting?: boolean, exact?: boolean }} Meaning
 */

/** @type {Record<string, Meaning>} */
const MEANINGS = {
  ChecksumError: { words: "What arrived is damaged, so it was thrown away. Try again; if this comes back, the file is damaged where it lies." },
  QuotaExceededError: { words: "There is not enough room for this model in the browser. Delete a model under Models…, or free space on the disk." },
  OutOfMemory: { words: "Out of memory. Its memory has been freed: try a smaller picture, or a smaller model." },
  DeviceLost: { words: "The graphics card stopped answering again and again. Try once more, or draw without it." },
  DeviceError: { words: "The graphics card cannot be used here. The picture can be drawn without it, more slowly." },
  BackendError: { words: "The graphics card failed. Try again, or draw without it." },
  NotFinite: { words: "The numbers went out of bounds, and no picture came of them. Another seed or less guidance may help." },
  WorkerError: { words: "The part of the page that draws has stopped. Trying again starts it anew." },
  ServerError: { words: "The server did not draw this.", exact: true },
  InvalidRequest: { words: "This cannot be drawn as it is asked for.", lasting: true, exact: true },
  Unsupported: { words: "This cannot be done here.", lasting: true, exact: true },
  ModelError: { words: "This model cannot be used here.", lasting: true, exact: true },
  ReadError: { words: "The model’s files cannot be read.", lasting: true, exact: true },
};

/** Errors that the processor does not know. */
const OF_THE_DEVICE = ["DeviceLost", "DeviceError", "BackendError"];

/** @param {Error} error @returns {Meaning} */
function meaning({ name, message }) {
  if (name !== "NetworkError") return MEANINGS[name] ?? { words: "Something went wrong.", exact: true };
  if (!navigator.onLine) return { words: "This device is offline. What has arrived so far is kept; try again when the network is back." };
  if (/goes on from here/.test(message)) return { words: "The connection broke. What has arrived is kept, and trying again goes on from there." };
  if (/connection broke|events ended/.test(message)) return { words: "The connection broke. Try again." };
  if (/: 40[13]/.test(message)) return { words: "Its owner gives this only to those who have signed in and accepted the licence." };
  if (/: 4\d\d/.test(message)) return { words: "There is nothing at this address.", exact: true };
  return { words: "There was no answer. Is the address right, and is it up?", exact: true };
}

/**
 * Shows an error with what can be done about it.
 * @param {Error} error @param {{ retry(): void, onProcessor?(): void }} ways
 */
export function show(error, { retry, onProcessor }) {
  const { words, lasting, exact } = meaning(error);
  $("problem-words").textContent = words;
  $("problem-detail").textContent = brief(error.message, 1000);
  $("problem-more", HTMLDetailsElement).open = Boolean(exact);
  const other = onProcessor && OF_THE_DEVICE.includes(error.name);
  $("retry").hidden = Boolean(lasting);
  $("other-way").hidden = !other;
  $("other-way").textContent = "Draw without it";
  $("retry").onclick = act(retry);
  $("other-way").onclick = act(() => onProcessor?.());
  $("problem-close").onclick = act(() => {});
  $("problem").hidden = false;
  return words;
}

export function hide() {
  $("problem").hidden = true;
}

/** Closes the panel and does this; the focus goes back to the prompt, for its button is gone. @param {() => void} run */
const act = (run) => () => {
  hide();
  $("empty").hidden = $("picture").hasAttribute("src");
  $("prompt").focus({ preventScroll: true });
  run();
};
