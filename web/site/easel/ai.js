// Easel as an image model of the AI SDK: its provider interface, version 2 (`ImageModelV2` of `@ai-sdk/provider`).

/** @typedef {import("./easel.d.ts").Easel} Easel */
/** @typedef {import("./easel.d.ts").RemoteEasel} RemoteEasel */
/** @typedef {import("./ai.d.ts").ImageCall} ImageCall */

/** About how many pixels a picture of some aspect ratio has, if the model does not say. */
const PIXELS = 512 * 512;

/**
 * A model that is loaded, for `generateImage({ model, prompt })`.
 * @param {Easel | RemoteEasel} easel @returns {import("./ai.d.ts").ImageModel}
 */
export function imageModel(easel) {
  return {
    specificationVersion: "v2",
    provider: "easel",
    get modelId() {
      return easel.loaded?.name ?? "none";
    },
    maxImagesPerCall: 64,
    async doGenerate(call) {
      const { prompt, n = 1, seed, abortSignal, providerOptions } = call;
      const images = [];
      for (let k = 0; k < n; k++) {
        const request = { prompt, ...size(call, easel), ...providerOptions?.easel, signal: abortSignal };
        const { image } = await easel.generate(seed === undefined ? request : { ...request, seed: seed + k });
        images.push(new Uint8Array(await image.arrayBuffer()));
      }
      const response = { timestamp: new Date(), modelId: this.modelId, headers: undefined };
      return { images, warnings: [], response };
    },
  };
}

/** Width and height of a call: as it says, or of its aspect ratio with as many pixels as the model likes. @param {ImageCall} call @param {Easel | RemoteEasel} easel */
function size({ size, aspectRatio }, easel) {
  if (size) {
    const [width, height] = size.split("x").map(Number);
    return { width, height };
  }
  if (!aspectRatio) return {};
  const [across, down] = aspectRatio.split(":").map(Number);
  const own = easel.loaded && "defaults" in easel.loaded ? easel.loaded.defaults : undefined;
  const scale = Math.sqrt((own ? own.width * own.height : PIXELS) / (across * down));
  return { width: 8 * Math.round((across * scale) / 8), height: 8 * Math.round((down * scale) / 8) };
}
