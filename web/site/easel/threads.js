// The threads of the build with shared memory: workers that run its module on the same memory (`src/threads.rs`).
import { elsewhere } from "./elsewhere.js";

/** The workers at work. Firefox collects those that nobody holds. @type {Worker[]} */
let running = [];

/**
 * Starts threads; resolved when all of them work.
 * @param {any} module the module that they run @param {string} script the address of its script
 * @param {number} count @param {number} patience milliseconds in which they have to start
 */
export async function startThreads(module, script, count, patience) {
  const workers = Array.from({ length: count }, launch);
  const shared = { script, module: module.sharedModule(), memory: module.sharedMemory() };
  try {
    await Promise.race([Promise.all(workers.map((worker) => ready(worker, shared))), late(patience)]);
    module.startThreads(count);
    running = workers;
  } catch (thrown) {
    for (const worker of workers) worker.terminate();
    throw thrown;
  }
}

function launch() {
  try {
    return new Worker(new URL("./thread.js", import.meta.url), { type: "module", name: "easel thread" });
  } catch (thrown) {
    return elsewhere(thrown, "thread.js", "easel thread");
  }
}

/** @param {Worker} worker @param {object} shared @returns {Promise<void>} */
function ready(worker, shared) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data: { failed } }) => (failed ? reject(new Error(failed)) : resolve());
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`a thread failed: ${event.message || "its script could not be loaded"}`));
    };
    worker.postMessage(shared);
  });
}

/** @param {number} patience @returns {Promise<never>} */
const late = (patience) =>
  new Promise((_, reject) => setTimeout(() => reject(new Error(`the threads did not start within ${patience / 1000} s`)), patience));
