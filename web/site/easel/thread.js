// One thread: a worker that runs the module on the memory of the one that started it (`threads.js`).
addEventListener("message", run, { once: true });

/** @param {MessageEvent<{ script: string, module: WebAssembly.Module, memory: WebAssembly.Memory }>} event */
async function run({ data: { script, module, memory } }) {
  /** @type {() => void} */
  let work;
  try {
    const { default: start, runThread } = await import(/* @vite-ignore */ /* webpackIgnore: true */ script);
    await start({ module_or_path: module, memory });
    work = runThread;
  } catch (thrown) {
    return postMessage({ failed: String(thrown) });
  }
  postMessage({});
  work();
}
