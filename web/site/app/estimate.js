// Estimates of the remaining time, from the pace so far.

/** Bytes and seconds before which the pace of a download says nothing: its first bytes come at once, or after a long silence. */
const FEWEST_BYTES = 1e6;
const SHORTEST = 2;

/** An estimate for one download, or for the steps of one picture. */
export class Estimate {
  /** Where it began: what was there already was not fetched now. @type {{ done: number, seconds: number } | undefined} */
  #first;
  #least;

  /** @param {{ least?: number, shortest?: number }} [least] units and seconds before the first estimate */
  constructor({ least = 1, shortest = 0 } = {}) {
    this.#least = { units: least, seconds: shortest };
  }

  /** An estimate for a download. */
  static ofDownload() {
    return new Estimate({ least: FEWEST_BYTES, shortest: SHORTEST });
  }

  /**
   * The seconds that are left for the rest; `undefined` while nothing can be said.
   * @param {number} done @param {number} of @param {number} seconds since any moment
   */
  left(done, of, seconds) {
    this.#first ??= { done, seconds };
    const units = done - this.#first.done;
    const time = seconds - this.#first.seconds;
    if (units < this.#least.units || time < this.#least.seconds) return undefined;
    return (Math.max(0, of - done) * time) / units;
  }
}
