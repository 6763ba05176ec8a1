// onnxruntime-web in a worker: loads a graph, then runs it once per message and reports the time.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { answer, denoise } from "./steps.js";

answer({
  async load({ work, threads, folder }) {
    ort.env.wasm.numThreads = threads;
    const session = await ort.InferenceSession.create(`${folder}/${work.name}.onnx`, {
      executionProviders: ["wasm"],
      graphOptimizationLevel: "all",
    });
    const tensor = (name, data) => new ort.Tensor("float32", data, work.shapes[name]);
    return async ({ sample, time, states }) => {
      const feeds = states ? { states: tensor("states", states) } : {};
      const step = async (x, time) => {
        const { out } = await session.run({ ...feeds, sample: tensor("sample", x), time: tensor("time", time) });
        return out.data;
      };
      const [out, ms] = await denoise(work, sample, time, step);
      return { out, ms };
    };
  },
});
