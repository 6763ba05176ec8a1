// Small helpers around the document.

/**
 * The element with this id.
 * @template {HTMLElement} [T=HTMLElement] @param {string} id @param {new (...args: any[]) => T} [type] @returns {T}
 */
export function $(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof (type ?? HTMLElement))) throw new Error(`the page has no ${type?.name ?? "element"} #${id}`);
  return /** @type {T} */ (element);
}

/**
 * A new element with properties and children.
 * @template {keyof HTMLElementTagNameMap} K @param {K} tag @param {Record<string, unknown>} [properties]
 * @param {...(Node | string)} children @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** The most characters of a message: a prompt or an address that it quotes may be long. */
const LONGEST = 200;

/** The beginning of a text that is too long to be shown. @param {string} text @param {number} [most] */
export const brief = (text, most = LONGEST) => (text.length > most ? `${text.slice(0, most).trimEnd()}…` : text);

/**
 * Shows a message for a while, above everything, with a button if there is an action.
 * @param {string} text @param {{ label: string, run(): void }} [action]
 */
export function say(text, action) {
  const toast = $("toast");
  const message = make("div", {}, make("span", { dir: "auto" }, brief(text)));
  const gone = () => {
    message.remove();
    if (toast.childElementCount === 0) toast.hidePopover();
  };
  if (action) {
    const onclick = () => {
      gone();
      action.run();
    };
    message.append(make("button", { type: "button", textContent: action.label, onclick }));
  }
  toast.replaceChildren(message);
  // Shown again, it is above a dialog that was opened since.
  toast.hidePopover();
  toast.showPopover();
  setTimeout(gone, action ? 12000 : 6000);
}

/**
 * A button that asks before it does what cannot be undone: it becomes the question, and a second button takes it back.
 * @param {string} label @param {string} question @param {() => void} run @param {string} [name] for those who do not see what it is about
 */
export function asking(label, question, run, name = label) {
  const button = make("button", { type: "button", textContent: label, ariaLabel: name });
  const keep = make("button", { type: "button", textContent: "Keep" });
  const calm = () => {
    keep.remove();
    Object.assign(button, { textContent: label, ariaLabel: name });
    button.classList.remove("danger");
  };
  button.onclick = () => {
    if (keep.isConnected) {
      calm();
      return run();
    }
    Object.assign(button, { textContent: question, ariaLabel: question });
    button.classList.add("danger");
    button.after(keep);
  };
  keep.onclick = () => {
    calm();
    button.focus();
  };
  return button;
}

/** The value that an earlier visit stored under this name, if the browser stores any. @param {string} name */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** Stores a value for later visits, if the browser allows it. @param {string} name @param {string} value */
export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Only a convenience.
  }
}

/** A number of bytes in decimal units. @param {number} count */
export function bytes(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1)} GB`;
  return count >= 1e6 ? `${Math.round(count / 1e6)} MB` : `${Math.ceil(count / 1e3)} kB`;
}

/** A number of seconds in words. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

/** Offers a file to be saved. @param {Blob} file @param {string} name */
export function download(file, name) {
  const href = URL.createObjectURL(file);
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10000);
}

/** A file name made from a prompt. @param {string} prompt @param {string | number | bigint} seed */
export function fileName(prompt, seed) {
  const words = prompt.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["picture"];
  return `${words.slice(0, 8).join("-").slice(0, 80)}-${seed}.png`;
}

/** The text of a definition list. @param {HTMLElement} list @param {[string, string | undefined][]} facts */
export function define(list, facts) {
  const known = facts.filter(([, value]) => value !== undefined && value !== "");
  list.replaceChildren(...known.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value ?? "")]));
}
