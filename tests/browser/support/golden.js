// The golden cases of models that look at pictures, for pages that compute them.
import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** The folder of the golden models. */
export const golden = new URL("../../golden/", import.meta.url).pathname;

/** The cases of a folder, with the arrays of each: their shapes, and their numbers in one list. */
export async function cases(folder) {
  const { cases } = JSON.parse(await readFile(join(golden, folder, "cases/cases.json"), "utf8"));
  const withArrays = async (one) => ({ ...one, arrays: await arrays(join(golden, folder, "cases", one.file)) });
  return new Map(await Promise.all(cases.map(async (one) => [one.name, await withArrays(one)])));
}

/** The arrays of a safetensors file that hold bytes or 32-bit floats. */
async function arrays(file) {
  const bytes = await readFile(file);
  const header = Number(bytes.readBigUInt64LE());
  const tensors = Object.entries(JSON.parse(bytes.toString("utf8", 8, 8 + header)));
  const read = ([name, { dtype, shape, data_offsets: [start, end] }]) => {
    const content = new Uint8Array(bytes.subarray(8 + header + start, 8 + header + end));
    return [name, { shape, data: [...(dtype === "F32" ? new Float32Array(content.buffer) : content)] }];
  };
  return Object.fromEntries(tensors.filter(([, { dtype }]) => ["F32", "U8"].includes(dtype)).map(read));
}

/** A golden model at the address of a server that has the folder, as a program would name it. */
export async function published(folder, url) {
  const paths = (await readdir(join(golden, folder), { withFileTypes: true })).filter((entry) => entry.isFile()).map(({ name }) => name);
  const files = paths.map(async (path) => ({ path, size: (await stat(join(golden, folder, path))).size, url: `${url}${folder}/${path}` }));
  return { name: folder, files: await Promise.all(files) };
}

/** For a page: the PNG of a picture in an array `[height, width, 3]`. */
export const PNG = `async ({ shape: [height, width], data }) => {
  const pixels = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let k = 0; k < width * height; k++) pixels.set(data.slice(3 * k, 3 * k + 3), 4 * k);
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}`;

/** The largest difference between numbers, as a share of the largest that is expected. */
export function relativeError(got, expected) {
  if (got.length !== expected.length) return Infinity;
  const most = (numbers) => numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return most(got.map((x, index) => x - expected[index])) / most(expected);
}
