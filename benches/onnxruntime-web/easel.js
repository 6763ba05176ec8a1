// Easel in a worker: loads a network, then runs it once per message and reports the time.
import start, * as module from "/target/onnxruntime-web/wasm/network.js";
import { startThreads } from "/web/site/easel/threads.js";
import { answer, denoise } from "./steps.js";

/** Converts to channels-last and back. */
function transpose(data, [n, rows, columns]) {
  const out = new Float32Array(data.length);
  for (let b = 0; b < n; b++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) out[(b * columns + c) * rows + r] = data[(b * rows + r) * columns + c];
  return out;
}

answer({
  async load({ work, threads, folder }) {
    await start({ module_or_path: "/target/onnxruntime-web/wasm/network_bg.wasm" });
    await startThreads(module, "/target/onnxruntime-web/wasm/network.js", threads, 10_000);
    const { Network } = module;
    const bytes = new Uint8Array(await (await fetch(`${folder}/${work.name}.safetensors`)).arrayBuffer());
    const network = await (work.config
      ? Network.denoiser(JSON.stringify(work.config), bytes)
      : Network.block(work.channels, work.attention, bytes));
    const [n, c, h, w] = work.shapes.sample;
    const shapes = new Uint32Array([n, h, w, c, ...(work.shapes.states ?? [])]);
    return async ({ sample, time, states = new Float32Array() }) => {
      const input = transpose(sample, [n, c, h * w]);
      const [out, ms] = await denoise(work, input, time, (x, time) => network.run(x, time, states, shapes));
      return { out: transpose(out, [n, h * w, c]), ms };
    };
  },
});
