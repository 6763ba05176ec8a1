// A ZIP archive of files that are stored as they are: pictures are compressed already. After PKWARE's APPNOTE.TXT.

/** @typedef {{ name: string, content: Blob, date: Date }} Entry */

/** One archive of all of these. Names are UTF-8; archives of more than 4 GB are beyond this format. @param {Entry[]} entries */
export async function zip(entries) {
  /** @type {BlobPart[]} */
  const parts = [];
  /** @type {BlobPart[]} */
  const directory = [];
  let [offset, size] = [0, 0];
  for (const { name, content, date } of entries) {
    const [title, crc] = [new TextEncoder().encode(name), crc32(new Uint8Array(await content.arrayBuffer()))];
    // Version 2.0, names in UTF-8, stored.
    const common = [...u16(20), ...u16(0x800), ...u16(0), ...moment(date), ...u32(crc), ...u32(content.size), ...u32(content.size), ...u16(title.length), ...u16(0)];
    parts.push(bytes([...u32(0x04034b50), ...common]), title, content);
    const row = [...u32(0x02014b50), ...u16(20), ...common, ...u16(0), ...u16(0), ...u16(0), ...u32(0), ...u32(offset)];
    directory.push(bytes(row), title);
    offset += 30 + title.length + content.size;
    size += row.length + title.length;
  }
  const count = u16(entries.length);
  const end = [...u32(0x06054b50), ...u16(0), ...u16(0), ...count, ...count, ...u32(size), ...u32(offset), ...u16(0)];
  return new Blob([...parts, ...directory, bytes(end)], { type: "application/zip" });
}

/** @param {number} value */
const u16 = (value) => [value & 255, (value >>> 8) & 255];
/** @param {number} value */
const u32 = (value) => [...u16(value), ...u16(value >>> 16)];
/** @param {number[]} list */
const bytes = (list) => Uint8Array.from(list);

/** Time and date as MS-DOS has them. @param {Date} date */
function moment(date) {
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  const day = ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  return [...u16(time), ...u16(day)];
}

/** @param {Uint8Array} data */
function crc32(data) {
  let crc = ~0;
  for (const byte of data) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
