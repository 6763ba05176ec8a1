// The service worker: the site without a network, and the headers that let its threads share memory.
const CACHE = "easel-/*version*/";
const FILES = JSON.parse(`/*files*/`);

addEventListener("install", (event) => event.waitUntil(install()));
// A new version waits until the pages of the old one are closed, so that a page and its worker always fit.
addEventListener("activate", (event) => event.waitUntil(activate()));
addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  const path = url.pathname.slice(new URL(registration.scope).pathname.length);
  if (FILES.includes(path || "index.html")) event.respondWith(answer(event.request, path || "index.html"));
});

async function install() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })));
}

async function activate() {
  for (const name of await caches.keys()) {
    if (name.startsWith("easel-") && name !== CACHE) await caches.delete(name);
  }
}

/** From the cache; from the network if the cache has lost it. */
async function answer(request, path) {
  const cached = await (await caches.open(CACHE)).match(new URL(path, registration.scope));
  return isolated(cached ?? (await fetch(request)));
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
