// What clusters send is text of strangers: shown as it is, but never able to garble the page.

/** Characters that reorder or hide what stands next to them. */
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

// CSI, OSC and two-character escape sequences (ECMA-48).
const ANSI = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]{0,2000}(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;

/** What needs no look at its parts: nearly all text. */
const PLAIN = /^[\t\n -~]*$/;

/**
 * Text without terminal escapes, with what is invisible made visible.
 * @param {unknown} value
 * @param {number} [limit] characters
 */
export function safe(value, limit = Infinity) {
  let text = typeof value === "string" ? value : value === undefined || value === null ? "" : String(value);
  if (text.length > limit) text = `${text.slice(0, limit)}…`;
  if (PLAIN.test(text)) return text;
  return text.replace(ANSI, "").replace(/\r\n/g, "\n").replace(INVISIBLE, (character) =>
    `⟨${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/**
 * The first line of a text that says something.
 * @param {unknown} value
 * @param {number} [limit]
 */
export function line(value, limit = 240) {
  if (typeof value !== "string") return "";
  const head = value.slice(0, 4 * limit).split("\n").find((part) => part.trim()) ?? "";
  return safe(head.trim(), limit);
}

/**
 * A link that may be followed: `http` and `https` only.
 * @param {unknown} value
 * @returns {string | undefined}
 */
export function link(value) {
  if (typeof value !== "string" || value.length > 4096 || !/^https?:\/\//i.test(value)) return undefined;
  try {
    const url = new URL(value);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/** A number as the reader's language writes it. @param {number} number */
export const count = (number) => number.toLocaleString();

/**
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** What is no text is none. @param {unknown} value */
export const string = (value) => (typeof value === "string" ? value : "");

/**
 * One cell of a CSV file (RFC 4180). A spreadsheet must not take a name for a formula.
 * @param {unknown} value
 */
export function csvCell(value) {
  let text = Array.isArray(value) ? value.join(" ") : value === undefined || value === null ? "" : String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** What the gateway's words for a failure mean to a person. */
const CAUSES = /** @type {Record<string, string>} */ ({
  unreachable: "no backend can be reached",
  timeout: "it did not answer in time",
  tls: "no TLS connection can be made",
  unauthorized: "it does not accept this login",
  forbidden: "you may not read this there",
  "not-found": "it does not have this",
  "server-error": "it answered with an error of its own",
  "bad-body": "its answer cannot be read",
  "too-large": "its answer is too large",
  "breaker-open": "it failed too often and is left alone for a moment",
  gateway: "the gateway did not answer",
});

/**
 * What a table has under a name from outside; nothing under `constructor` and such, which every object has.
 * @template T
 * @param {Record<string, T>} table
 * @param {string} name
 * @returns {T | undefined}
 */
export const own = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);

/**
 * A failure in words: `tls: unknown issuer` has a word of the gateway's, and details.
 * @param {string | null | undefined} error
 * @param {string} [message] what else was said of it
 */
export function explain(error, message = "") {
  const [word, ...details] = (error ?? "").split(": ");
  const known = own(CAUSES, word);
  const more = details.join(": ") || message;
  return known ? `${known}${more && more !== known ? ` (${more})` : ""}` : message || error || "";
}
