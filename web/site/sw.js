// The service worker: the site without a network, and the headers that let its threads share memory.
const CACHE = "easel-/*version*/";
const FILES = JSON.parse(`/*files*/`);
/** The modules, and what some models need. A browser uses few of them, which are kept when they have been asked for, or the page names them. */
const BUILD = /^easel\/(wasm\/|threads\/|analysis\/|interface\/|clip-merges|t5-tokenizer)/;
/** What no visit needs: it is for programs and programmers. */
const BESIDE = /(\.d\.ts|\.md|package\.json|LICENSE-\w+|easel\/ai\.js|icon-\d+\.png)$/;

addEventListener("install", (event) => event.waitUntil(install()));
// A new version waits until the pages of the old one are closed, so that a page and its worker always fit.
addEventListener("activate", (event) => event.waitUntil(activate()));
addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  const path = url.pathname.slice(new URL(registration.scope).pathname.length);
  if (FILES.includes(path || "index.html")) event.respondWith(answer(event.request, path || "index.html"));
});

addEventListener("message", (event) => event.waitUntil(event.data.update ? skipWaiting() : keep(event.data.build)));

async function install() {
  const versions = (await caches.keys()).filter((name) => name.startsWith("easel-") && name !== CACHE);
  const cache = await caches.open(CACHE);
  const files = FILES.filter((file) => !BUILD.test(file) && !BESIDE.test(file));
  // On a first visit the page has just fetched most of them: the browser has them at hand. An update has to ask.
  const mode = versions.length > 0 ? "reload" : "force-cache";
  await cache.addAll(files.map((file) => new Request(file, { cache: mode })));
}

/** @param {string} build */
async function keep(build) {
  const cache = await caches.open(CACHE);
  const files = FILES.filter((file) => file.startsWith(`easel/${build}/`));
  for (const file of files) if (!(await cache.match(file))) await cache.add(new Request(file, { cache: "force-cache" }));
}

async function activate() {
  for (const name of await caches.keys()) {
    if (name.startsWith("easel-") && name !== CACHE) await caches.delete(name);
  }
}

/** From the cache; from the network if it is not there. */
async function answer(request, path) {
  const [cache, url] = [await caches.open(CACHE), new URL(path, registration.scope)];
  const cached = await cache.match(url);
  if (cached) return isolated(cached);
  const fetched = await fetch(request);
  // Where there is no room for it, it is fetched again the next time.
  if (fetched.ok && BUILD.test(path)) await cache.put(url, fetched.clone()).catch(() => {});
  return isolated(fetched);
}

/** The answer with the headers of a cross-origin isolated page, which not every file server can be told to send. */
function isolated(response) {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
