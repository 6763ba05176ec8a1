// The overall progress of a call, from 0 to 1, in addition to its phases.

/** The phases of a call in their order, each with its part of the whole. A part that is left out is passed at once. */
const PARTS = {
  load: { program: 0.1, wait: 0, download: 0.6, verify: 0.05, load: 0.25 },
  generate: { program: 0, prepare: 0.02, encode: 0.02, denoise: 0.94, decode: 0.02 },
};

/**
 * Adds it to what a call reports. It never falls, though a file that turns out to be damaged is fetched again.
 * @typedef {import("./easel.d.ts").Progress} Progress
 * @param {string} method @param {((progress: Progress) => void) | undefined} listen
 * @returns {((progress: Omit<Progress, "overall">) => void) | undefined}
 */
export function withOverall(method, listen) {
  if (!listen) return undefined;
  const parts = Object.entries(PARTS[/** @type {"load" | "generate"} */ (method)] ?? {});
  let overall = 0;
  return (progress) => {
    const { phase, step, of } = progress;
    const at = parts.findIndex(([name]) => name === phase);
    if (at >= 0) {
      const before = parts.slice(0, at).reduce((sum, [, part]) => sum + part, 0);
      overall = Math.max(overall, Math.min(1, before + (of ? (parts[at][1] * step) / of : 0)));
    }
    listen({ ...progress, overall });
  };
}
