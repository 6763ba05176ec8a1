// Shared by both workers: their messages, and the loop around the network, with the same arithmetic for both.

const GUIDANCE = 4;

/** One call, or a loop of guided steps from noise: unconditional and conditional in one batch, Euler's method. */
export async function denoise(work, sample, time, step) {
  const started = performance.now();
  if (work.steps === 1) return [await step(sample, time), performance.now() - started];
  const half = sample.length / 2;
  // Both halves start from the same noise.
  const x = sample.slice();
  x.copyWithin(half, 0, half);
  for (let i = 0; i < work.steps; i++) {
    const noise = await step(x, new Float32Array([999 * (1 - i / work.steps)]));
    for (let j = 0; j < half; j++) {
      x[j] -= (noise[j] + GUIDANCE * (noise[half + j] - noise[j])) / work.steps;
      x[half + j] = x[j];
    }
  }
  return [x, performance.now() - started];
}

/** Answers the page: calls `load` for the first message, and its result for every other. */
export function answer({ load }) {
  let run;
  addEventListener("message", async ({ data }) => {
    try {
      if (run) return postMessage(await run(data));
      run = await load(data);
      postMessage({ loaded: true });
    } catch (error) {
      postMessage({ error: String(error) });
    }
  });
}
