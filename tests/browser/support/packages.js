// The packages as they would be published, and programs that use them, built by the usual bundlers.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { dist } from "./browser.js";

const run = promisify(execFile);

export const fixtures = new URL("../fixtures", import.meta.url).pathname;
const modules = join(fixtures, "node_modules");

/** The packages: their names, and the folders of the built site that they are. */
export const PACKAGES = { "easel-web": join(dist, "easel"), "easel-emoji": join(dist, "models/easel-emoji") };

/** The library of this name that the fixtures have. */
export const library = (name) => import(pathToFileURL(createRequire(join(fixtures, "package.json")).resolve(name)).href);

/** A folder until the test ends. */
export async function scratch(test) {
  const folder = await mkdtemp(join(tmpdir(), "easel-fixtures-"));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Fetches the bundlers, and installs the packages from the files that would be published.
 * @returns {Promise<{ missing?: string, packed: Record<string, string> }>} why not, or the files
 */
export async function install(test) {
  if (!existsSync(join(modules, "vite"))) {
    const failed = await run("npm", ["ci", "--no-audit", "--no-fund", "--prefix", fixtures]).then(() => undefined, (error) => error);
    if (failed && process.env.EASEL_REQUIRE_BROWSER) throw failed;
    if (failed) return { missing: `npm could not fetch the bundlers: ${failed.message.split("\n")[0]}`, packed: {} };
  }
  const folder = await scratch(test);
  const packed = {};
  for (const [name, from] of Object.entries(PACKAGES)) {
    const { stdout } = await run("npm", ["pack", from, "--json", "--pack-destination", folder]);
    packed[name] = join(folder, Object.values(JSON.parse(stdout))[0].filename);
    await run("tar", ["-xzf", packed[name], "-C", folder]);
    await rm(join(modules, name), { recursive: true, force: true });
    await cp(join(folder, "package"), join(modules, name), { recursive: true });
    await rm(join(folder, "package"), { recursive: true });
  }
  return { packed };
}

/** The page of a program in a folder: `head` comes before its script. */
async function page(out, { script = "./app.js", head = "" } = {}) {
  const text = await readFile(join(fixtures, "index.html"), "utf8");
  await writeFile(join(out, "index.html"), text.replace("<script", `${head}<script`).replace("./app.js", script));
}

/** The program with its packages at these addresses. */
async function plain(out, addresses) {
  let text = await readFile(join(fixtures, "app.js"), "utf8");
  for (const [name, address] of Object.entries(addresses)) text = text.replace(`"${name}"`, JSON.stringify(address));
  await writeFile(join(out, "app.js"), text);
  await page(out);
}

/** Copies the packages to a folder. */
export async function unpacked(out) {
  for (const name of Object.keys(PACKAGES)) await cp(join(modules, name), join(out, name), { recursive: true });
}

const entries = (at) => ({ "easel-web": `${at}easel-web/easel.js`, "easel-emoji": `${at}easel-emoji/index.js` });

/** What builds the program into a folder. */
export const BUILDS = {
  vite: (out) => vite(out, {}),
  "vite with worker.format es": (out) => vite(out, { worker: { format: "es" } }),
  async webpack(out) {
    const { default: webpack } = await library("webpack");
    const compiler = webpack({ mode: "production", context: fixtures, entry: "./app.js", output: { path: out, filename: "app.js" }, performance: false });
    const stats = await promisify(compiler.run.bind(compiler))();
    await promisify(compiler.close.bind(compiler))();
    const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
    const said = [...errors, ...warnings].map(({ message }) => message);
    if (said.length > 0) throw new Error(said.join("\n"));
    await page(out);
  },
  // It leaves addresses as they are: the packages stand beside the program, which says where.
  async esbuild(out) {
    const { build } = await library("esbuild");
    await build({ entryPoints: [join(fixtures, "app.js")], bundle: true, format: "esm", outdir: out, logLevel: "error" });
    await unpacked(out);
    const places = { options: { workerUrl: "easel-web/worker.js", base: "." }, model: "easel-emoji" };
    await page(out, { head: `<script>globalThis.places = ${JSON.stringify(places)}</script>` });
  },
  async "plain modules"(out) {
    await unpacked(out);
    await plain(out, entries("./"));
  },
};

async function vite(out, config) {
  const { build } = await library("vite");
  const quiet = { root: fixtures, configFile: false, logLevel: "warn", base: "./" };
  await build({ ...quiet, ...config, build: { outDir: out, emptyOutDir: true } });
}

/** The program whose packages are on another origin. */
export const fromElsewhere = (out, origin) => plain(out, entries(origin));

/** Vite's server for developers, without any option that is about the packages; its address. */
export async function viteServer(test, headers) {
  const { createServer } = await library("vite");
  const cacheDir = await scratch(test);
  const server = await createServer({ root: fixtures, configFile: false, logLevel: "warn", cacheDir, server: { host: "127.0.0.1", port: 0, headers, hmr: false } });
  await server.listen();
  test.after(() => server.close());
  return `http://localhost:${server.httpServer.address().port}/`;
}

/** The program as an extension of the browser. */
export async function extension(out, manifest) {
  await BUILDS["plain modules"](out);
  const policy = { extension_pages: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'" };
  const whole = { manifest_version: 3, name: "One picture", version: "1.0", content_security_policy: policy, ...manifest };
  await writeFile(join(out, "manifest.json"), JSON.stringify(whole));
}
