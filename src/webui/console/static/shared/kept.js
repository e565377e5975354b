// What a browser keeps for the console. People, other versions and other pages of the origin write there, too: what has not
// the shape that is expected is none, and a browser that keeps nothing is no reason to fail.

const NAME = "fedgate-console-";
export const UNKEPT = "This browser does not let the console keep settings";

/** @typedef {"localStorage" | "sessionStorage"} Place */

/**
 * @param {string} name
 * @param {(value: any) => unknown} fits whether it has the expected shape; never asked about null
 * @param {Place} [place]
 * @returns {any} undefined for none
 */
export function kept(name, fits, place = "localStorage") {
  try {
    const value = JSON.parse(globalThis[place].getItem(NAME + name) ?? "null");
    return value !== null && fits(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} name
 * @param {unknown} value undefined to forget it
 * @param {Place} [place]
 * @returns {boolean} whether it is kept
 */
export function keep(name, value, place = "localStorage") {
  try {
    if (value === undefined) globalThis[place].removeItem(NAME + name);
    else globalThis[place].setItem(NAME + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** @param {unknown} value */
export const isText = (value) => typeof value === "string";

/** @param {(value: any) => unknown} fits */
export const listOf = (fits) => (/** @type {unknown} */ value) => Array.isArray(value) && value.every((item) => item !== null && fits(item));
