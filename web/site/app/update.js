// New versions of the page: fetched by the service worker, announced, and used when the visitor says so.
import { say } from "./dom.js";

export async function start() {
  const container = navigator.serviceWorker;
  if (!container) return;
  // Nothing is new on a first visit, where no worker had the page before.
  const hadWorker = Boolean(container.controller);
  let asked = false;
  container.addEventListener("controllerchange", () => {
    if (asked) location.reload();
    else if (hadWorker) say("Easel was updated in another tab", { label: "Reload", run: () => location.reload() });
  });
  const registration = await container.register("sw.js").catch(() => undefined);
  if (!registration) return;
  const announce = (/** @type {ServiceWorker} */ worker) => {
    const use = () => {
      asked = true;
      worker.postMessage({ update: true });
    };
    say("A new version of Easel is here", { label: "Use it", run: use });
  };
  if (registration.waiting && hadWorker) announce(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker?.addEventListener("statechange", () => {
      if (worker.state === "installed" && hadWorker) announce(worker);
    });
  });
}

/** Asks the service worker to keep a module, for visits without a network. @param {string} folder @param {{ threads: number }} [loaded] what it computes with */
export async function keepBuild(folder, loaded) {
  const build = folder + ((loaded?.threads ?? 1) > 1 ? "threads" : "wasm");
  (await navigator.serviceWorker?.ready)?.active?.postMessage({ build });
}
