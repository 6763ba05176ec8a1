// Places beside the package, and workers from another origin: browsers start none, but they start one from here that imports it.

/** The folder of this file. It is not written where it is used, since bundlers would take it for one more file. */
const HERE = import.meta.url;

/** The address of what may be beside this file. @param {string} path */
export const beside = (path) => new URL(path, HERE);

/** Starts a module as a worker, wherever it is. @param {string} url @param {string} name */
export function worker(url, name) {
  return new Worker(nearby(url), { type: "module", name });
}

/**
 * Starts a script beside this one that could not be started directly, if that was for its origin.
 * @param {unknown} thrown @param {string} script @param {string} name
 */
export function elsewhere(thrown, script, name) {
  const url = beside(script);
  if (url.origin === globalThis.origin) throw thrown;
  return worker(url.href, name);
}

/** @param {string} url */
function nearby(url) {
  if (new URL(url).origin === globalThis.origin) return url;
  return URL.createObjectURL(new Blob([`import ${JSON.stringify(url)};`], { type: "text/javascript" }));
}
