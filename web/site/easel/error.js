// Errors of a kind: the kind is the `code`, and the `name` as well, as for those that the browser throws.

export class EaselError extends Error {
  /** @param {import("./easel.d.ts").ErrorCode} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = this.code = code;
  }
}

/** @param {import("./easel.d.ts").ErrorCode} code @param {string} message */
export const error = (code, message) => new EaselError(code, message);
