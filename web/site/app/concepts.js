// Concepts: words that are typed, and how well each of them goes with the picture or with what is selected in it.
import { $, make } from "./dom.js";
import * as looking from "./looking.js";

/** The most concepts, which have to fit beside the picture. */
const MOST = 12;

const form = $("concepts", HTMLFormElement);
const words = $("concepts-words", HTMLInputElement);

/** The scoring that is at work. @type {AbortController | undefined} */
let running;

/**
 * @param {{ region(): Promise<{ image: Blob, name: string }>, tell(text: string): void, miss(): void }} handlers what is to be
 *   scored and its name, the line for progress, and what to do where no model is here
 */
export function start({ region, tell, miss }) {
  form.onsubmit = async (event) => {
    event.preventDefault();
    const texts = typed();
    if (texts.length === 0) return words.focus();
    const name = await looking.chosen("classifier");
    if (!name) return miss();
    running?.abort();
    const controller = (running = new AbortController());
    const { signal } = controller;
    try {
      tell("Scoring the words…");
      const model = await looking.classifier(name, { signal, onProgress: ({ phase }) => tell(phase === "load" ? "Loading the model of words…" : "Fetching the model of words…") });
      const { image, name: place } = await region();
      const seen = await model.embed(image, { signal });
      const scores = await seen.score(texts, { signal }).finally(() => seen.dispose());
      show(place, texts, scores);
      tell("");
    } catch (error) {
      if (!signal.aborted) tell(/** @type {Error} */ (error).message);
    }
  };
  $("scores-close").onclick = () => {
    hide();
    words.focus();
  };
}

/** Forgets what was scored. */
export function end() {
  running?.abort();
  hide();
}

const hide = () => void ($("scores").hidden = true);

/** What is written between commas. */
const typed = () => [...new Set(words.value.split(",").map((text) => text.trim()).filter(Boolean))].slice(0, MOST);

/** @param {string} place @param {string[]} texts @param {number[]} scores */
function show(place, texts, scores) {
  const rows = texts.map((text, index) => ({ text, score: scores[index] })).sort((one, other) => other.score - one.score);
  $("scores-title").textContent = place;
  $("scores-list").replaceChildren(...rows.map(row));
  $("scores").hidden = false;
  const [best] = rows;
  $("announce").textContent = `${place}: ${best.text}, ${percent(best.score)}`;
}

/** @param {{ text: string, score: number }} row */
function row({ text, score }) {
  const bar = make("span", { className: "bar" });
  bar.style.width = `${100 * score}%`;
  return make("li", {}, make("span", { dir: "auto" }, text), make("span", { className: "share" }, percent(score)), bar);
}

/** @param {number} score */
const percent = (score) => `${(100 * score).toFixed(score < 0.1 ? 1 : 0)} %`;
