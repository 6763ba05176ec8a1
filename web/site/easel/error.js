// Errors of a kind: the kind is the `name`, as for those that the browser throws.

/** @param {string} name @param {string} message */
export function error(name, message) {
  return Object.assign(new Error(message), { name });
}
