// A selection in a picture: its pixels, and pictures made of them.

/**
 * A byte for each pixel, 255 inside; rings of x and y in turn.
 * @typedef {{ width: number, height: number, mask: Uint8Array, polygons: Float64Array[][], inverted: boolean }} Selection
 */

/** The rest of the picture. @param {Selection} selection @returns {Selection} */
export const inverse = (selection) => ({ ...selection, mask: selection.mask.map((level) => 255 - level), inverted: !selection.inverted });

/** The share of the picture that is selected, 0 to 1. @param {Selection} selection */
export const share = ({ mask }) => mask.reduce((sum, level) => sum + level, 0) / 255 / mask.length;

/** The selection as a canvas, white inside and transparent outside. @param {Selection} selection */
export function canvas({ width, height, mask }) {
  const pixels = new Uint8ClampedArray(4 * mask.length).fill(255);
  for (const [index, level] of mask.entries()) pixels[4 * index + 3] = level;
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas;
}

/** What is selected, in the size of the picture; the rest is transparent. @param {Blob} file @param {Selection} selection @returns {Promise<Blob>} */
export async function cutOut(file, selection) {
  const bitmap = await createImageBitmap(file);
  const whole = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (whole.getContext("2d"));
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  Object.assign(context, { globalCompositeOperation: "destination-in", imageSmoothingQuality: "high" });
  context.drawImage(canvas(selection), 0, 0, whole.width, whole.height);
  return whole.convertToBlob({ type: "image/png" });
}

/** The smallest box with all of the selection, as a picture of its own. @param {Blob} file @param {Selection} selection @returns {Promise<Blob>} */
export async function cropped(file, selection) {
  const { left, top, right, bottom } = bounds(selection);
  const bitmap = await createImageBitmap(file);
  const [across, down] = [bitmap.width / selection.width, bitmap.height / selection.height];
  const [width, height] = [(right - left) * across, (bottom - top) * down].map((side) => Math.max(1, Math.round(side)));
  const part = new OffscreenCanvas(width, height);
  part.getContext("2d")?.drawImage(bitmap, -left * across, -top * down);
  bitmap.close();
  return part.convertToBlob({ type: "image/png" });
}

/** @param {Selection} selection */
function bounds({ width, height, mask }) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (const [index, level] of mask.entries()) {
    if (level === 0) continue;
    const [x, y] = [index % width, Math.floor(index / width)];
    left = Math.min(left, x);
    right = Math.max(right, x + 1);
    top = Math.min(top, y);
    bottom = Math.max(bottom, y + 1);
  }
  return right > left ? { left, top, right, bottom } : { left: 0, top: 0, right: width, bottom: height };
}

/** The outline as the path of an SVG. @param {Selection} selection */
export function path({ width, height, polygons, inverted }) {
  const frame = inverted ? `M0 0H${width}V${height}H0Z` : "";
  return frame + polygons.flat().map(ring).join("");
}

/** @param {Float64Array} ring */
function ring(ring) {
  const points = [];
  for (let at = 0; at < ring.length; at += 2) points.push(`${ring[at]} ${ring[at + 1]}`);
  return `M${points.join("L")}Z`;
}
