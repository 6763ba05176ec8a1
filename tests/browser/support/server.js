// A file server for the tests: ranges, CORS, isolation headers if wanted, and the faults that a test asks for.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

export const ISOLATION = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

/** The folder of the kernels' checks. */
export const checks = process.env.EASEL_CHECKS ?? new URL("../../../target/browser-checks", import.meta.url).pathname;

/**
 * Serves `root` until the test ends, with `headers` on each answer. With `dated`, files have a date, as those of usual servers, and browsers keep them a while. `faults` may be changed at any time: `cut` names a file whose connection breaks after
 * `after` bytes, once; with `whole`, ranges are ignored; `modified` is the date that files bear; `instead` has scripts that are sent in place of files, or `null` for files that are missing, by path; `slow` is a line that is silent
 * at first and then brings few bytes a second, for models and modules. `requests` lists what was asked for.
 */
export async function serve(test, root, { isolated = true, dated = false, headers: more = {} } = {}) {
  const faults = { cut: undefined, after: 0, whole: false, modified: undefined, instead: {}, slow: undefined };
  const requests = [];
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://x").pathname);
    const file = join(root, normalize(path === "/" ? "/index.html" : path));
    requests.push({ method: request.method, path, range: request.headers.range });
    const size = await stat(file).then((found) => (found.isFile() ? found.size : -1), () => -1);
    const headers = { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin", ...(isolated ? ISOLATION : {}), ...more };
    const script = faults.instead[path];
    if (size < 0 || script === null) return response.writeHead(404, headers).end();
    if (script) return response.writeHead(200, { ...headers, "content-type": TYPES[".js"] }).end(script);
    Object.assign(headers, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "accept-ranges": "bytes" });
    if (dated) headers["last-modified"] = "Thu, 01 Jan 2026 10:00:00 GMT";
    if (faults.modified) headers["last-modified"] = faults.modified;
    const start = faults.whole ? 0 : Number(request.headers.range?.match(/^bytes=(\d+)-$/)?.[1] ?? 0);
    if (start >= size && start > 0) return response.writeHead(416, headers).end();
    headers["content-length"] = size - start;
    if (start > 0) headers["content-range"] = `bytes ${start}-${size - 1}/${size}`;
    response.writeHead(start > 0 ? 206 : 200, headers);
    if (request.method === "HEAD") return response.end();
    if (faults.slow && size > 1e6) return trickle(response, file, start, faults.slow);
    send(response, file, start, path === faults.cut ? faults : undefined);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://localhost:${server.address().port}/`, faults, requests, stop: () => server.closeAllConnections() };
}

function send(response, file, start, fault) {
  const stream = createReadStream(file, { start });
  let sent = 0;
  if (fault) {
    stream.on("data", (chunk) => {
      sent += chunk.length;
      if (sent < fault.after) return;
      fault.cut = undefined;
      stream.destroy();
      // What is in the buffers goes out first, as on a line that breaks.
      setTimeout(() => response.destroy(), 50);
    });
  }
  stream.pipe(response);
}

/** Sends a file as a slow line does. @param {{ silence: number, bytesPerSecond: number }} line */
async function trickle(response, file, start, { silence, bytesPerSecond }) {
  const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  await sleep(silence);
  const began = performance.now();
  let sent = 0;
  for await (const chunk of createReadStream(file, { start })) {
    if (response.destroyed) return;
    response.write(chunk);
    sent += chunk.length;
    await sleep((1000 * sent) / bytesPerSecond - (performance.now() - began));
  }
  response.end();
}
