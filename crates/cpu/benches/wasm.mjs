// The wasm build of the 3x3 convolution under node: checks it against the plain level and prints GFLOP/s.
//
//     cargo build --release -p easel-cpu --no-default-features --features plain --target wasm32-unknown-unknown \
//       --example wasm
//     node crates/cpu/benches/wasm.mjs target/wasm32-unknown-unknown/release/examples/wasm.wasm [THREADS]
//
// Each thread has its own instance and an equal part of the picture's rows, as a pool of workers would share them.

import { readFileSync } from "node:fs";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { fileURLToPath } from "node:url";

const ROUNDS = 5;

async function instance(path) {
  const { instance } = await WebAssembly.instantiate(readFileSync(path), {});
  return instance.exports;
}

/// Milliseconds of one convolution: a call with two runs minus one with one, so that preparing the inputs is left out.
function time(wasm, rows) {
  const start = performance.now();
  wasm.convolve(rows, 1, false);
  const middle = performance.now();
  wasm.convolve(rows, 3, false);
  return (performance.now() - middle - (middle - start)) / 2;
}

if (isMainThread) {
  const [path, threads = "2"] = process.argv.slice(2);
  const wasm = await instance(path);
  const error = wasm.largest_error(16);
  if (!(error < 1e-5)) throw new Error(`the fast level is ${error} away from the plain one`);
  const rows = 64 / Number(threads);
  const workers = Array.from({ length: Number(threads) }, () =>
    new Worker(fileURLToPath(import.meta.url), { workerData: { path, rows } }));
  const times = await Promise.all(workers.map((worker) => new Promise((done, fail) => {
    worker.once("message", done);
    worker.once("error", fail);
  })));
  const rounds = Array.from({ length: ROUNDS }, (_, i) => Math.max(...times.map((t) => t[i]))).sort((a, b) => a - b);
  const gflops = (ms) => Number((2 * 64 * 64 * 320 * 320 * 9 / ms / 1e6).toFixed(1));
  const ms = rounds[ROUNDS >> 1];
  console.log(JSON.stringify({
    name: "wasm conv3x3/1 320->320@64x64x1", threads: Number(threads), error, ms, gflops: gflops(ms), best_gflops: gflops(rounds[0]),
  }));
} else {
  const wasm = await instance(workerData.path);
  time(wasm, workerData.rows);
  parentPort.postMessage(Array.from({ length: ROUNDS }, () => time(wasm, workerData.rows)));
}
