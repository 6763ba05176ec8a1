// The panel that says what this device and this browser can do.
import { detect } from "../easel/easel.js";
import { $, asking, bytes, define, make, say } from "./dom.js";

/** @typedef {import("../easel/easel.js").Easel} Easel */
/** @typedef {import("../easel/easel.js").RemoteEasel} RemoteEasel */

/** The server that draws, if one does. @type {RemoteEasel | undefined} */
let server;

/** @param {Easel} easel @param {{ onPurge(): void, onFree(): void }} handlers */
export async function start(easel, { onPurge, onFree }) {
  const dialog = $("device", HTMLDialogElement);
  $("open-device").onclick = async () => {
    await show(easel);
    dialog.showModal();
  };
  $("free-memory").onclick = async () => {
    easel.unload();
    onFree();
    line(easel.loaded);
    await show(easel);
    say("The model’s memory is free; the next picture loads it again");
  };
  const clear = async () => {
    await easel.purge();
    onPurge();
    await show(easel);
    say("All models are deleted from this browser");
  };
  const button = asking("Delete all models", "Delete all models for good", clear);
  button.id = "clear-all";
  $("clear-all").replaceWith(button);
  line(easel.loaded);
}

/**
 * The line in the page's head.
 * @param {import("../easel/easel.d.ts").LoadedModel | import("../easel/easel.d.ts").RemoteModel} [loaded] @param {RemoteEasel} [from] the server, if one draws
 */
export function line(loaded, from) {
  server = from;
  const [model, place] = loaded ? describe(loaded) : ["", "No model loaded"];
  $("device-line").replaceChildren(make("span", {}, model), place);
  $("device-dot").classList.toggle("ready", Boolean(loaded));
}

/** The model, which narrow screens leave out, and where it runs. @param {NonNullable<Parameters<typeof line>[0]>} loaded */
function describe(loaded) {
  if (loaded.backend === "server") return ["The server ", loaded.name];
  return [`${loaded.name} on `, loaded.backend === "webgpu" ? "WebGPU" : `WebAssembly, ${threads(loaded.threads)}`];
}

const threads = (/** @type {number} */ count) => `${count} ${count === 1 ? "thread" : "threads"}`;

/** @param {Easel} easel */
async function show(easel) {
  const [found, memory] = await Promise.all([detect(), easel.loaded ? easel.memory() : undefined]);
  const { webgpu, storage } = found;
  const floats = `${webgpu.f16 ? "with" : "without"} 16-bit floats`;
  const unused = easel.loaded?.reason ? `; not used: ${easel.loaded.reason}` : "";
  const adapter = webgpu.available ? `${webgpu.adapter}, ${floats}${unused}` : `none: ${webgpu.reason}`;
  const there = await server?.devices().catch(() => []);
  const computing = there?.filter(({ selected }) => selected).map(({ name, kind }) => `${name} (${kind})`).join(", ");
  define($("device-facts"), [
    ["The server", server?.loaded?.name],
    ["Its device", server && (computing || "it does not say")],
    [server ? "This browser draws with" : "Drawing with", easel.loaded ? describe(easel.loaded).join("") : "no model yet"],
    ["WebGPU", adapter],
    ["Buffers", webgpu.maxBufferSize === undefined ? undefined : `up to ${bytes(webgpu.maxBufferSize)}`],
    ["WebAssembly", found.simd ? `with vector instructions, ${threads(found.threads)}` : "without vector instructions: nothing can be drawn"],
    ["Device memory", found.deviceMemory === undefined ? undefined : `at least ${found.deviceMemory / 2 ** 30} GB`],
    ["Memory taken", memory && bytes(memory.wasm) + (memory.gpu ? `, ${bytes(memory.gpu)} of the graphics device` : "")],
    ["Storage", storage.available ? `${bytes(storage.usage)} of ${bytes(storage.quota)} taken${storage.persisted ? ", kept until you delete it" : ""}` : "none: models are fetched anew on each visit"],
  ]);
  $("device-advice").textContent = found.crossOriginIsolated
    ? ""
    : "This page may not share memory between threads. From the second visit on it usually may; else the server has to send COOP and COEP headers.";
}
