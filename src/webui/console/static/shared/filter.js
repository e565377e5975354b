// The filter language of the tables, as it stands in the URL:
//
//   cluster:alpha status:critical,warning -silenced:yes label.team:web since>1h "disk full"
//
// Terms are joined by "and", values of one term by "or". A bare word is looked for in the names and the output.

import { now, parseDuration } from "./time.js";
import { severity } from "./records.js";
import { own } from "./text.js";

/**
 * @typedef {object} Term
 * @property {string} key       empty for a bare word
 * @property {":" | ">" | "<"} operator
 * @property {string[]} values
 * @property {boolean} negated
 *
 * @typedef {{terms: Term[], errors: string[]}} Filter
 */

/** A quoted string may hold anything; within it a backslash quotes the next character. */
const TOKEN = /\s*(-?)(?:([A-Za-z_][\w./-]*)([:<>]))?((?:"(?:[^"\\]|\\.)*"?|[^\s"])*)/y;

/**
 * @param {string} text
 * @returns {Filter}
 */
export function parse(text) {
  /** @type {Filter} */
  const filter = { terms: [], errors: [] };
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const start = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match || TOKEN.lastIndex === start) break;
    const [, minus, key = "", operator = ":", rest] = match;
    const values = split(rest);
    if (!key && !values.length) continue;
    if (key && !values.length) {
      filter.errors.push(`${key}${operator} needs a value`);
      continue;
    }
    if (key && !key.startsWith("label.") && !ALL_KEYS.has(key)) {
      filter.errors.push(`there is no ${key}: here; quote the word to look for it as text`);
      continue;
    }
    filter.terms.push({ key, operator: /** @type {Term["operator"]} */ (operator), values, negated: minus === "-" });
  }
  return filter;
}

/**
 * The values of a term, at its commas outside quotes.
 * @param {string} text
 */
function split(text) {
  const values = [];
  let value = "";
  let quoted = false;
  let present = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') {
      quoted = !quoted;
      present = true;
    } else if (quoted && character === "\\" && at + 1 < text.length) {
      value += text[(at += 1)];
    } else if (character === "," && !quoted) {
      if (value || present) values.push(value);
      value = "";
      present = false;
    } else value += character;
  }
  if (value || present) values.push(value);
  return values;
}

/**
 * A value as it stands in a filter.
 * @param {string} value
 */
export const quote = (value) =>
  /^[^\s",:<>\\-][^\s",\\]*$/.test(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;

/** @param {Term} term */
const show = (term) =>
  `${term.negated ? "-" : ""}${term.key && term.key + term.operator}${term.values.map(quote).join(",")}`;

/** @param {Term[]} terms */
export const format = (terms) => terms.map(show).join(" ");

/**
 * The filter for what has all these values, or, of several under a key, one of them.
 * @param {Record<string, string | string[]>} wanted
 */
export const having = (wanted) =>
  format(Object.entries(wanted).map(([key, values]) => ({ key, operator: ":", values: [values].flat(), negated: false })));

/**
 * The filter with one more term, or without it when it is there: what a click on a value does.
 * @param {string} text
 * @param {string} key
 * @param {string} value
 * @param {boolean} [negated]
 */
export function toggle(text, key, value, negated = false) {
  const { terms } = parse(text);
  const same = (/** @type {Term} */ term) => term.key === key && term.operator === ":" && term.values.includes(value);
  const left = terms.filter((term) => !same(term));
  const had = terms.some((term) => same(term) && term.negated === negated);
  if (!had) left.push({ key, operator: ":", values: [value], negated });
  return format(left);
}

/** @typedef {any} AnyRow */

/**
 * What a key looks at, where that is not the member of its own name: a text, several, or a number.
 * @type {Record<string, (row: AnyRow) => string | string[] | number>}
 */
const FIELDS = {
  namespace: (row) => [row.namespace, row.ns],
  entity: (row) => row.entity ?? row.name,
  check: (row) => row.check ?? row.name,
  status: (row) => (row.status === undefined ? [] : [severity(row.status), String(row.status), ...(row.status ? ["incident"] : [])]),
  silenced: (row) => (row.silenced?.length ? ["yes", ...row.silenced] : ["no"]),
  subscription: (row) => row.subscriptions ?? row.subscription ?? [],
  class: (row) => row.entityClass ?? "",
  handler: (row) => row.handlers ?? [],
  publish: (row) => (row.publish === undefined ? [] : row.publish ? "yes" : "no"),
  since: (row) => age(row.since),
  changed: (row) => age(row.changed),
  seen: (row) => age(row.seen),
  age: (row) => age(row.time),
  expires: (row) => (row.expires ? row.expires - now() : Infinity),
};

/**
 * Reads what a key of a filter names.
 * @param {string} key
 * @returns {(row: AnyRow) => string | string[] | number}
 */
export function reader(key) {
  if (!key.startsWith("label.")) return own(FIELDS, key) ?? ((row) => row[key] ?? "");
  const label = key.slice(6);
  return (row) => own(row.labels, label) ?? [];
}

/** @param {number | undefined} time */
const age = (time) => (time ? now() - time : Infinity);

/** Where a row is. */
export const PLACE = ["cluster", "namespace"];

/** Which keys each table offers. */
export const KEYS = {
  events: [...PLACE, "entity", "check", "status", "silenced", "owner", "output", "state", "subscription",
    "class", "since", "changed", "age", "occurrences"],
  entities: [...PLACE, "name", "class", "status", "silenced", "owner", "subscription", "platform", "version",
    "seen", "incidents"],
  checks: [...PLACE, "name", "status", "publish", "owner", "subscription", "handler", "command", "interval",
    "incidents"],
  silences: [...PLACE, "name", "subscription", "check", "reason", "creator", "expires"],
};

const ALL_KEYS = new Set(Object.values(KEYS).flat());

/**
 * Whether a row passes, as one function.
 * @param {Filter} filter
 * @returns {(row: AnyRow) => boolean}
 */
export function compile(filter) {
  const tests = filter.terms.map((term) => {
    const test = compileTerm(term);
    return term.negated ? (/** @type {AnyRow} */ row) => !test(row) : test;
  });
  return (row) => tests.every((test) => test(row));
}

/** @param {Term} term @returns {(row: AnyRow) => boolean} */
function compileTerm({ key, operator, values }) {
  if (!key) {
    const words = values.map((value) => value.toLowerCase());
    return (row) => words.some((word) => row.text.includes(word));
  }
  const read = reader(key);
  if (operator !== ":") {
    const bounds = values.map((value) => (/^-?[\d.]+$/.test(value) ? Number(value) : parseDuration(value) ?? NaN));
    return (row) => {
      const value = read(row);
      const size = typeof value === "number" ? value : Number(Array.isArray(value) ? value.find(isDigits) : value);
      return bounds.some((bound) => (operator === ">" ? size > bound : size < bound));
    };
  }
  const patterns = values.map(matcher);
  return (row) => {
    const value = read(row);
    const texts = Array.isArray(value) ? value : [String(value)];
    return texts.some((text) => patterns.some((matches) => matches(text.toLowerCase())));
  };
}

/** @param {string} text */
const isDigits = (text) => /^\d+$/.test(text);

/**
 * The whole value, where `*` stands for anything; `output` and such are matched by `*word*`.
 * @param {string} value
 * @returns {(text: string) => boolean}
 */
function matcher(value) {
  const wanted = value.toLowerCase();
  if (!wanted.includes("*")) return (text) => text === wanted;
  const parts = wanted.split("*");
  const first = parts[0];
  const last = parts[parts.length - 1];
  return (text) => {
    if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
    let at = first.length;
    const end = text.length - last.length;
    for (const part of parts.slice(1, -1)) {
      const found = text.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  };
}

/**
 * The word that is being typed at `caret`, for completion: what was typed last of it, and the head before that.
 * @param {string} text
 * @param {number} caret
 */
export function wordAt(text, caret) {
  let start = 0;
  let quoted = false;
  for (let at = 0; at < caret; at += 1) {
    if (text[at] === '"' && text[at - 1] !== "\\") quoted = !quoted;
    else if (/\s/.test(text[at]) && !quoted) start = at + 1;
  }
  const word = text.slice(start, caret);
  const match = /^(-?)([A-Za-z_][\w./-]*)([:<>])(.*)$/s.exec(word);
  const head = word.startsWith("-") ? "-" : "";
  if (!match) return { start, key: "", head, typed: word.slice(head.length) };
  const values = split(match[4]);
  const typed = match[4].endsWith(",") ? "" : values.pop() ?? "";
  return { start, key: match[2], head: match.slice(1, 4).join("") + values.map((value) => `${quote(value)},`).join(""), typed };
}
