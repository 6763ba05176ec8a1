// Models in the origin private file system. A file lies in shards, beside them a record of what the model is; a download
// goes on after the last byte that was written, and every shard is checked against its SHA-256 before it is used.
import { error } from "./error.js";
import { ask } from "./sources.js";

/** Bytes per shard. One shard at a time is read into memory to be checked. */
const SHARD = 32 * 2 ** 20;

/** Bytes that are handed to wasm at once, where they are copied. */
const PIECE = 2 ** 20;

/** Bytes between two reports of progress. */
const REPORT = 2 ** 20;

/**
 * A file in the store. `shards` are the SHA-256 of its shards, once it has been checked as a whole.
 * @typedef {import("./sources.js").RemoteFile & { shards?: string[] }} StoredFile
 * @typedef {{ name: string, url?: string, files: StoredFile[], usual?: { steps: number, guidanceScale: number }, use?: import("./easel.d.ts").Use }} Entry
 * @typedef {{ progress(phase: string, step: number, of: number): void, signal: AbortSignal }} Watch
 * @typedef {{ update(bytes: Uint8Array): void, hex(): string, free(): void }} Digest a SHA-256 of pieces
 */

export class Store {
  #root;
  #digest;

  /** @param {FileSystemDirectoryHandle} root @param {() => Promise<Digest>} digest starts one */
  constructor(root, digest) {
    this.#root = root;
    this.#digest = digest;
  }

  /** The store of this origin; `undefined` where there is none. @param {() => Promise<Digest>} digest */
  static async open(digest) {
    try {
      const origin = await navigator.storage.getDirectory();
      return new Store(await origin.getDirectoryHandle("easel-models", { create: true }), digest);
    } catch {
      return undefined;
    }
  }

  /** @returns {Promise<import("./easel.d.ts").StoredModel[]>} */
  async list() {
    const models = [];
    for await (const [key, handle] of this.#root.entries()) {
      if (handle.kind !== "directory") continue;
      const folder = /** @type {FileSystemDirectoryHandle} */ (handle);
      const entry = (await record(folder)) ?? { name: decodeURIComponent(key), files: [] };
      models.push(await this.summary(entry));
    }
    return models.sort((a, b) => a.name.localeCompare(b.name));
  }

  /** How much of a model is here. @param {Entry} entry */
  async summary(entry) {
    const folder = await this.#folder(entry.name);
    const known = folder && (await record(folder));
    let [size, stored, complete] = [0, 0, entry.files.length > 0];
    for (const [index, file] of entry.files.entries()) {
      const here = folder && same(known?.files[index], file) ? sum(await shardSizes(folder, index)) : 0;
      size += file.size;
      stored += Math.min(file.size, here);
      complete &&= here === file.size && Boolean(known?.files[index].shards);
    }
    // A model of parts has no address of its own.
    const url = entry.url ?? entry.files.find((file) => file.url)?.url;
    return { name: entry.name, size, stored, complete, url, use: entry.use };
  }

  /** What is known of a model. @param {string} name */
  async entry(name) {
    const folder = await this.#folder(name);
    return folder && (await record(folder));
  }

  /** Deletes a model, or all of them. @param {string} [name] */
  async purge(name) {
    const names = name === undefined ? (await this.list()).map((model) => model.name) : [name];
    for (const each of names) {
      await locked(each, () => {}, () => this.#root.removeEntry(encodeURIComponent(each), { recursive: true })).catch(
        ignoreMissing,
      );
    }
  }

  /**
   * The files of a model as blobs, after everything that is missing or damaged has been fetched.
   * @param {Entry} entry @param {Watch} watch @returns {Promise<[string, Blob][]>}
   */
  open(entry, watch) {
    return locked(entry.name, () => watch.progress("wait", 0, 1), async () => {
      const folder = await this.#root.getDirectoryHandle(encodeURIComponent(entry.name), { create: true });
      await reconcile(folder, entry);
      await this.#verify(folder, entry, watch);
      await this.#fetch(folder, entry, watch);
      return Promise.all(entry.files.map((file, index) => blob(folder, index, file)));
    }, watch.signal);
  }

  /**
   * Copies local files into the store.
   * @param {import("./easel.d.ts").LocalModel} model @param {import("./easel.d.ts").Use | undefined} use @param {Watch} watch
   */
  keep({ name, files }, use, watch) {
    return locked(name, () => watch.progress("wait", 0, 1), async () => {
      await this.#root.removeEntry(encodeURIComponent(name), { recursive: true }).catch(ignoreMissing);
      const folder = await this.#root.getDirectoryHandle(encodeURIComponent(name), { create: true });
      /** @type {Entry} */
      const entry = { name, files: files.map(([path, file]) => ({ path, size: file.size })), use };
      const report = reporter(watch, sum(entry.files.map((file) => file.size)), 0);
      try {
        // A copy that ends here with its page is listed, too, and can be deleted.
        await write(folder, entry);
        for (const [index, [, file]] of files.entries()) {
          await append(folder, index, 0, file.stream(), watch.signal, report);
          await this.#seal(folder, index, entry.files[index]);
        }
        await write(folder, entry);
      } catch (thrown) {
        await this.#root.removeEntry(encodeURIComponent(name), { recursive: true }).catch(ignoreMissing);
        throw thrown;
      }
    }, watch.signal);
  }

  /** @param {string} name */
  async #folder(name) {
    try {
      return await this.#root.getDirectoryHandle(encodeURIComponent(name));
    } catch {
      return undefined;
    }
  }

  /**
   * Forgets files that are not what they were.
   * @param {FileSystemDirectoryHandle} folder @param {Entry} entry @param {Watch} watch
   */
  async #verify(folder, entry, watch) {
    const sealed = entry.files.filter((file) => file.shards);
    const of = sum(sealed.map((file) => file.size));
    let done = 0;
    for (const [index, file] of entry.files.entries()) {
      if (!file.shards) continue;
      watch.signal.throwIfAborted();
      if (await intact(folder, index, file)) {
        watch.progress("verify", (done += file.size), of);
        continue;
      }
      await clear(folder, index);
      delete file.shards;
      await write(folder, entry);
      if (!file.url) {
        throw error("ChecksumError", `${entry.name}/${file.path}: the copy in this browser is damaged; add the model again`);
      }
    }
  }

  /** Fetches what is not here. @param {FileSystemDirectoryHandle} folder @param {Entry} entry @param {Watch} watch */
  async #fetch(folder, entry, watch) {
    const { size, stored } = await this.summary(entry);
    if (entry.files.every((file) => file.shards)) return;
    const full = await shortage(size - stored);
    if (full) throw error("QuotaExceededError", `${entry.name}: ${full}`);
    await navigator.storage.persist?.();
    const report = reporter(watch, size, stored);
    for (const [index, file] of entry.files.entries()) {
      if (file.shards) continue;
      await download(folder, index, file, watch.signal, report);
      await this.#seal(folder, index, file);
      await write(folder, entry);
    }
  }

  /**
   * Notes the digests of a file that is here as a whole. One that is not what its owner says is deleted.
   * @param {FileSystemDirectoryHandle} folder @param {number} index @param {StoredFile} file
   */
  async #seal(folder, index, file) {
    const whole = await this.#digest();
    const shards = [];
    try {
      for (let shard = 0; shard * SHARD < file.size; shard++) {
        const bytes = new Uint8Array(await (await shardFile(folder, index, shard)).arrayBuffer());
        if (file.sha256) for (let at = 0; at < bytes.length; at += PIECE) whole.update(bytes.subarray(at, at + PIECE));
        shards.push(await sha256(bytes));
        drop(bytes);
      }
      const got = whole.hex();
      if (file.sha256 && got !== file.sha256) {
        await clear(folder, index);
        throw error("ChecksumError", `${file.url ?? file.path}: SHA-256 is ${got}, expected ${file.sha256}`);
      }
    } finally {
      whole.free();
    }
    file.shards = shards;
  }
}

/**
 * The record of a model with what is here already. Files that have changed since, or lie elsewhere in the list by which
 * shards are named, are deleted.
 * @param {FileSystemDirectoryHandle} folder @param {Entry} entry
 */
async function reconcile(folder, entry) {
  const known = await record(folder);
  for (const [index, before] of (known?.files ?? []).entries()) {
    const now = entry.files[index];
    if (same(before, now)) now.shards = before.shards;
    else await clear(folder, index);
  }
  await write(folder, entry);
}

/** Whether two records are of the same file in the same state. @param {any} before @param {any} now */
function same(before, now) {
  return before && now && ["path", "size", "sha256", "modified"].every((key) => before[key] === now[key]);
}

/**
 * Runs `work` while no other tab works on the same model.
 * @template T @param {string} name @param {() => void} onWait @param {() => Promise<T>} work @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
async function locked(name, onWait, work, signal) {
  const lock = `easel-model:${name}`;
  const busy = (await navigator.locks.query()).held?.some((held) => held.name === lock);
  if (busy) onWait();
  return /** @type {Promise<T>} */ (/** @type {unknown} */ (navigator.locks.request(lock, signal ? { signal } : {}, work)));
}

/** The reason why this many more bytes cannot be stored, if there is one. @param {number} missing */
export async function shortage(missing) {
  const { quota = Infinity, usage = 0 } = await navigator.storage.estimate();
  if (missing <= quota - usage) return undefined;
  const [needed, free] = [missing, Math.max(0, quota - usage)].map((bytes) => `${Math.ceil(bytes / 1e6)} MB`);
  return `${needed} to store, but the browser grants this site only ${free} more`;
}

/**
 * Fetches the rest of a file.
 * @param {FileSystemDirectoryHandle} folder @param {number} index @param {StoredFile} file @param {AbortSignal} signal
 * @param {(bytes: number) => void} report
 */
async function download(folder, index, file, signal, report) {
  let start = sum(await shardSizes(folder, index));
  // What may be the rest of another file is not put to the beginning of this one.
  const sure = Boolean(file.sha256 || file.modified);
  if (start > file.size || (start > 0 && start < file.size && !sure)) {
    await clear(folder, index);
    report(-start);
    start = 0;
  }
  if (start === file.size && start > 0) return;
  if (!file.url) throw error("ReadError", `${file.path}: missing in this browser; add the model again`);
  const headers = start > 0 ? { range: `bytes=${start}-` } : undefined;
  const response = await ask(file.url, { signal, headers, cache: "no-store" });
  if (start > 0 && response.status !== 206) {
    // The server does not serve parts: everything anew.
    await clear(folder, index);
    report(-start);
    start = 0;
  }
  if (!response.body) throw error("NetworkError", `${file.url}: an answer without a body`);
  const end = await append(folder, index, start, response.body, signal, report).catch((thrown) => {
    if (signal.aborted || thrown.name === "QuotaExceededError") throw thrown;
    const again = sure ? "goes on from here" : "begins anew";
    throw error("NetworkError", `${file.url}: the connection broke (${thrown.message}); loading again ${again}`);
  });
  if (end !== file.size) {
    if (end > file.size) await clear(folder, index);
    throw error("NetworkError", `${file.url}: ${end} bytes came, expected ${file.size}`);
  }
}

/**
 * Writes a stream to a file's shards from byte `at` on and returns where it ends. What has been written stays.
 * @param {FileSystemDirectoryHandle} folder @param {number} index @param {number} at
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream @param {AbortSignal} signal @param {(bytes: number) => void} report
 */
async function append(folder, index, at, stream, signal, report) {
  const reader = stream.getReader();
  /** @type {any} */
  let shard;
  let open = -1;
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      if (done) return at;
      for (let from = 0; from < value.length; ) {
        if (Math.floor(at / SHARD) !== open) {
          shard?.close();
          open = Math.floor(at / SHARD);
          const handle = await folder.getFileHandle(shardName(index, open), { create: true });
          shard = await /** @type {any} */ (handle).createSyncAccessHandle();
        }
        const part = value.subarray(from, from + SHARD - (at % SHARD));
        store(shard, part, at % SHARD);
        from += part.length;
        at += part.length;
        report(part.length);
      }
      drop(value);
    }
  } finally {
    shard?.close();
    reader.cancel().catch(() => {});
  }
}

/** Writes all of some bytes. @param {any} shard @param {Uint8Array} bytes @param {number} at */
function store(shard, bytes, at) {
  let written = 0;
  try {
    written = shard.write(bytes, { at });
  } catch (thrown) {
    if (/** @type {Error} */ (thrown).name !== "QuotaExceededError") throw thrown;
  }
  if (written === bytes.length) return;
  throw error("QuotaExceededError", "the browser’s storage for this site is full: delete a model, or free space on the disk");
}

/** Counts bytes and reports now and then. @param {Watch} watch @param {number} of @param {number} done */
function reporter(watch, of, done) {
  let told = -REPORT;
  return (/** @type {number} */ bytes) => {
    done += bytes;
    if (Math.abs(done - told) < REPORT && done !== of) return;
    told = done;
    watch.progress("download", done, of);
  };
}

/** @param {FileSystemDirectoryHandle} folder @param {number} index @param {StoredFile} file */
async function intact(folder, index, file) {
  try {
    for (const [shard, expected] of (file.shards ?? []).entries()) {
      const bytes = new Uint8Array(await (await shardFile(folder, index, shard)).arrayBuffer());
      const got = await sha256(bytes);
      drop(bytes);
      if (got !== expected) return false;
    }
    return file.shards?.length === Math.ceil(file.size / SHARD);
  } catch {
    return false;
  }
}

/** Frees their memory now: bytes come faster than the collector. @param {Uint8Array<ArrayBuffer>} bytes */
const drop = ({ buffer }) => void buffer.transfer?.(0);

/**
 * A file as one blob, which refers to its shards.
 * @param {FileSystemDirectoryHandle} folder @param {number} index @param {StoredFile} file @returns {Promise<[string, Blob]>}
 */
async function blob(folder, index, file) {
  const shards = (file.shards ?? []).map((_, shard) => shardFile(folder, index, shard));
  return [file.path, new Blob(await Promise.all(shards))];
}

/** @param {FileSystemDirectoryHandle} folder @param {number} index @param {number} shard */
async function shardFile(folder, index, shard) {
  return (await folder.getFileHandle(shardName(index, shard))).getFile();
}

const shardName = (/** @type {number} */ index, /** @type {number} */ shard) => `${index}.${shard}`;

/** The lengths of a file's shards. @param {FileSystemDirectoryHandle} folder @param {number} index */
async function shardSizes(folder, index) {
  const sizes = [];
  try {
    for (let shard = 0; ; shard++) sizes.push((await shardFile(folder, index, shard)).size);
  } catch {
    return sizes;
  }
}

/** Deletes a file's shards. @param {FileSystemDirectoryHandle} folder @param {number} index */
async function clear(folder, index) {
  const { length } = await shardSizes(folder, index);
  for (let shard = 0; shard < length; shard++) await folder.removeEntry(shardName(index, shard));
}

/** @param {FileSystemDirectoryHandle} folder @returns {Promise<Entry | undefined>} */
async function record(folder) {
  try {
    const file = await (await folder.getFileHandle("model.json")).getFile();
    return JSON.parse(await file.text());
  } catch {
    return undefined;
  }
}

/** @param {FileSystemDirectoryHandle} folder @param {Entry} entry */
async function write(folder, entry) {
  const handle = await folder.getFileHandle("model.json", { create: true });
  const file = await /** @type {any} */ (handle).createSyncAccessHandle();
  try {
    file.truncate(0);
    store(file, new TextEncoder().encode(JSON.stringify(entry)), 0);
    file.flush();
  } finally {
    file.close();
  }
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {number[]} numbers */
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** @param {any} thrown */
function ignoreMissing(thrown) {
  if (thrown.name !== "NotFoundError") throw thrown;
}
