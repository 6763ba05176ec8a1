// What loading a large model onto the graphics device takes: `python3 large.py DIR`, then `npm run large DIR` after
// `cargo xtask web`. Prints bytes of wasm memory, of the worker's JavaScript heap and array buffers (garbage that is not
// collected yet counts), and of graphics memory.
import { dist, launch, open } from "./support/browser.js";
import { serve } from "./support/server.js";

const ends = [];
const test = { after: (end) => ends.unshift(end) };
const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;

/** Asks the worker for the sizes of its heap again and again; returns a function that stops and says the most of each. */
async function watchHeap(page) {
  const session = await page.context().newCDPSession(page);
  const most = { usedSize: 0, buffers: 0 };
  let worker;
  let wasm = 0;
  session.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => targetInfo.url.endsWith("worker.js") && (worker = sessionId));
  session.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { result = {} } = JSON.parse(message);
    if (result.backingStorageSize === undefined) return;
    const now = { usedSize: result.usedSize, buffers: result.backingStorageSize - wasm };
    for (const key of Object.keys(most)) most[key] = Math.max(most[key], now[key]);
  });
  await session.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const message = JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" });
  let going = true;
  const watching = (async () => {
    while (going) {
      wasm = await page.evaluate(() => easel.memory().then((memory) => memory.wasm));
      await session.send("Target.sendMessageToTarget", { sessionId: worker, message });
      await new Promise((later) => setTimeout(later, 100));
    }
  })();
  return async () => {
    going = false;
    await watching;
    return most;
  };
}

const [site, model] = [await serve(test, dist), await serve(test, process.argv[2])];
const page = await open(await launch(test), site.url);
page.setDefaultTimeout(1_200_000);
await page.evaluate(`import("./easel/easel.js").then(async ({ Easel }) => {
  window.easel = new Easel({ backend: "webgpu" });
  window.before = await easel.memory();
})`);
const stop = await watchHeap(page);
const { before, after, seconds } = await page.evaluate(async (address) => {
  const seconds = {};
  const onProgress = ({ phase, seconds: now }) => (seconds[phase] = now);
  await easel.load(address, { onProgress });
  return { before, after: await easel.memory(), seconds };
}, `${model.url}manifest.json`);
const most = await stop();
console.log(`model ${megabytes(after.model)}, graphics memory ${megabytes(after.gpu)}`);
console.log(`wasm memory ${megabytes(before.wasm)} before, ${megabytes(after.wasm)} after`);
console.log(`at most: JavaScript heap ${megabytes(most.usedSize)}, array buffers outside wasm memory ${megabytes(most.buffers)}`);
console.log(`ends of phases in seconds: ${JSON.stringify(seconds)}`);
for (const end of ends) await end();
