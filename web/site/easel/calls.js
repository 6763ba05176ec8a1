// The worker's side of calls: each message of the page is a call of a method. Answers, and what it is told meanwhile, go back
// under the call's number.

/**
 * What a call tells the page, and how the page stops it.
 * @typedef {{ tell(event: string, value: any): void, signal: AbortSignal, watch: import("./store.js").Watch }} Context
 * @typedef {{ configure(settings: any): void, panicked(): Promise<string | undefined> }} Own what differs between workers: where
 *   the page's settings go, and the message of the panic that stopped the module
 */

/** @type {Map<number, AbortController>} */
const running = new Map();
/** The calls at work, which hear how much of the program has been fetched: all of them wait for it. @type {Set<import("./store.js").Watch>} */
const watching = new Set();
/** The call that has the model; the next one waits for it. @type {Promise<unknown>} */
let busy = Promise.resolve();
/** @type {Own} */
let own;

/** Answers calls from now on. @param {Record<string, (context: Context, ...args: any[]) => unknown>} methods @param {Own} worker */
export function answerCalls(methods, worker) {
  own = worker;
  addEventListener("message", ({ data }) => {
    if (data.settings) own.configure(data.settings);
    else if (data.cancel) running.get(data.id)?.abort();
    else answer(data.id, methods[data.method], data.args);
  });
}

/** @param {number} id @param {(context: Context, ...args: any[]) => unknown} run @param {any[]} args */
async function answer(id, run, args) {
  const controller = new AbortController();
  running.set(id, controller);
  const started = performance.now();
  const tell = (/** @type {string} */ event, /** @type {any} */ value) => postMessage({ id, event, value });
  const progress = (/** @type {string} */ phase, /** @type {number} */ step, /** @type {number} */ of) =>
    tell("progress", { phase, step, of, seconds: (performance.now() - started) / 1000 });
  const context = { tell, signal: controller.signal, watch: { progress, signal: controller.signal } };
  watching.add(context.watch);
  try {
    postMessage({ id, value: await run(context, ...args) });
  } catch (thrown) {
    await fail(id, thrown);
  } finally {
    running.delete(id);
    watching.delete(context.watch);
  }
}

/** Tells the page that a call failed; -1 stands for none of its calls. @param {number} id @param {any} thrown */
export async function fail(id, thrown) {
  postMessage({ id, ...(await failure(thrown)) });
}

/**
 * What the page hears of an error. After a trap the instance is of no use; a device that is full or gone for good is given
 * back best with all of the worker.
 * @param {any} thrown
 */
async function failure(thrown) {
  if (!(thrown instanceof WebAssembly.RuntimeError)) {
    const { name = "Error", message = String(thrown) } = thrown ?? {};
    return { error: { name, message }, fatal: ["DeviceError", "DeviceLost", "OutOfMemory"].includes(name) };
  }
  const said = await own.panicked();
  const [name, message] = said ? ["Error", said] : ["OutOfMemory", "out of memory: try a smaller picture or model"];
  return { error: { name, message }, fatal: true };
}

/** Tells all calls at work how much of the program has been fetched. @param {number} step @param {number} of */
export function fetching(step, of) {
  for (const watch of watching) watch.progress("program", step, of);
}

/** Waits for its turn with the model. @template T @param {Context} context @param {() => Promise<T>} work @returns {Promise<T>} */
export function exclusive({ signal }, work) {
  const turn = Promise.race([busy, aborted(signal)]).then(() => {
    signal.throwIfAborted();
    return work();
  });
  busy = Promise.allSettled([busy, turn]);
  return turn;
}

/** @param {AbortSignal} signal */
export const aborted = (signal) => new Promise((resolve) => signal.addEventListener("abort", resolve));

/** Runs wasm that the call's signal stops. @param {Context} context @param {any} module @param {(cancel: any) => Promise<any>} run */
export async function cancellable({ signal }, { Cancel }, run) {
  const cancel = new Cancel();
  const stop = () => cancel.cancel();
  signal.addEventListener("abort", stop);
  try {
    signal.throwIfAborted();
    return await run(cancel);
  } finally {
    signal.removeEventListener("abort", stop);
    cancel.free();
  }
}

/** Lets messages that have arrived be heard. A timer would wait four milliseconds. */
const channel = new MessageChannel();
export const turn = () =>
  new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(undefined);
  });
