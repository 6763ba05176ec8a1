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

/** A picture of this size with settings inside, as AUTOMATIC1111 writes them. */
export async function png(page, width, height, parameters) {
  const plain = await page.evaluate(async ([width, height]) => {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").fillRect(0, 0, width / 2, height);
    return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
  }, [width, height]);
  // After the signature and the header.
  const at = 33;
  const text = parameters ? chunk("tEXt", `parameters\0${parameters}`) : Buffer.alloc(0);
  return Buffer.concat([Buffer.from(plain.slice(0, at)), text, Buffer.from(plain.slice(at))]);
}

/** A chunk of a PNG file. */
function chunk(kind, text) {
  const content = Buffer.from(kind + text, "latin1");
  let crc = ~0;
  for (const byte of content) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length - 4);
  check.writeUInt32BE(~crc >>> 0);
  return Buffer.concat([length, content, check]);
}

/** The largest difference of two pictures' samples, or the mean. */
export function difference(a, b, kind = "largest") {
  if (a.data.length !== b.data.length) return Infinity;
  const differences = a.data.map((value, index) => Math.abs(value - b.data[index]));
  if (kind === "mean") return differences.reduce((sum, value) => sum + value, 0) / differences.length;
  return differences.reduce((most, value) => Math.max(most, value), 0);
}
