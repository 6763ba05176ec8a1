// Pictures of the tests, compared.
import { readFile } from "node:fs/promises";

/** The pixels of a picture file, decoded by the page's browser. */
export async function fromFile(page, url) {
  const base64 = (await readFile(url)).toString("base64");
  return page.evaluate(async (text) => {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return { width: bitmap.width, height: bitmap.height, data: [...context.getImageData(0, 0, bitmap.width, bitmap.height).data] };
  }, base64);
}

/** The largest difference of two pictures' samples, or the mean. */
export function difference(a, b, kind = "largest") {
  if (a.data.length !== b.data.length) return Infinity;
  const differences = a.data.map((value, index) => Math.abs(value - b.data[index]));
  if (kind === "mean") return differences.reduce((sum, value) => sum + value, 0) / differences.length;
  return differences.reduce((most, value) => Math.max(most, value), 0);
}
