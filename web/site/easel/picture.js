// Pictures to start from: files that wasm reads stay as they are, and the browser decodes all others.
import { error } from "./error.js";

const READABLE = ["image/png", "image/jpeg", "image/webp"];

/**
 * The bytes of a PNG, JPEG or WebP file.
 * @param {string} field what the picture is for @param {Blob} [file] @returns {Promise<Uint8Array | undefined>}
 */
export async function picture(field, file) {
  if (!file) return undefined;
  if (READABLE.includes(file.type)) return new Uint8Array(await file.arrayBuffer());
  const bitmap = await createImageBitmap(file).catch(() => {
    throw error("InvalidRequest", `${field}: no picture that this browser can read`);
  });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
  bitmap.close();
  return new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
}
