// Rows to show: filtered, sorted, grouped. Pure.

import { compile, parse } from "../shared/filter.js";
import { rank } from "../shared/records.js";
import { own } from "../shared/text.js";

/** @typedef {any} AnyRow */

/**
 * @typedef {object} Query
 * @property {string} filter
 * @property {string} sort      a column, with "-" in front for descending
 * @property {string} group     a column, `label.x`, or empty
 * @property {string[]} closed  groups that are folded
 *
 * @typedef {{group: string, label: string, count: number, counts: number[], closed: boolean}} GroupRow
 * @typedef {{rows: (AnyRow | GroupRow)[], matched: number, all: number, counts: number[], errors: string[],
 *   items: AnyRow[]}} Result
 */

/** @param {AnyRow} row */
const worst = (row) => (row.status === undefined ? rankOf(row.worst) : rank(row.status));
/** @param {number | undefined} value an entity's or check's worst status; none known is "passing" */
const rankOf = (value) => (value === undefined ? 3 : rank(value));

/** @type {Record<string, (row: AnyRow) => string | number>} */
const SORTS = {
  // The worst first; what is silenced is taken care of; the newest trouble before the old.
  severity: (row) => worst(row) + (row.silenced?.length && worst(row) < 3 ? 0.5 : 0),
  status: (row) => worst(row),
  expires: (row) => row.expires || Infinity,
  interval: (row) => row.interval ?? 0,
  publish: (row) => (row.publish ? 0 : 1),
  silenced: (row) => (row.silenced?.length ? 0 : 1),
};

/** Numbers of which the largest is the most interesting. */
const DOWN = new Set(["time", "since", "changed", "seen", "begin", "occurrences", "incidents", "matches"]);

/** @param {string} column @returns {(row: AnyRow) => string | number} */
const sorter = (column) => own(SORTS, column) ?? (DOWN.has(column) ? (row) => -(row[column] ?? 0) : undefined) ?? ((row) => textOf(row, column));

/**
 * @param {AnyRow} row
 * @param {string} column
 */
function textOf(row, column) {
  if (column.startsWith("label.")) return own(row.labels, column.slice(6)) ?? "";
  const value = row[column];
  return Array.isArray(value) ? value.join(" ") : value === undefined ? "" : String(value);
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

/**
 * @param {string} column
 * @returns {(a: AnyRow, b: AnyRow) => number}
 */
function comparator(column) {
  const descending = column.startsWith("-");
  const read = sorter(descending ? column.slice(1) : column);
  const sign = descending ? -1 : 1;
  return (a, b) => {
    const [left, right] = [read(a), read(b)];
    if (typeof left === "number" && typeof right === "number") return sign * (left - right || 0);
    return sign * COLLATOR.compare(String(left), String(right));
  };
}

/**
 * @param {Iterable<AnyRow>} rows
 * @param {Query} query
 * @returns {Result}
 */
export function run(rows, query) {
  const filter = parse(query.filter);
  const passes = compile(filter);
  const items = [];
  const counts = [0, 0, 0, 0];
  let all = 0;
  for (const row of rows) {
    all += 1;
    if (!passes(row)) continue;
    items.push(row);
    counts[worst(row)] += 1;
  }
  sort(items, query.sort);
  const shown = query.group ? grouped(items, query) : items;
  return { rows: shown, items, matched: items.length, all, counts, errors: filter.errors };
}

/**
 * Sorts in place, with ties by what everybody expects: the newest trouble, then the name.
 * @param {AnyRow[]} items
 * @param {string} column
 */
function sort(items, column) {
  const first = comparator(column || "severity");
  const second = comparator("since");
  const by = (/** @type {AnyRow} */ a, /** @type {AnyRow} */ b) =>
    first(a, b) || second(a, b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) || (a.key < b.key ? -1 : 1);
  items.sort(by);
}

/**
 * The rows under a head for each group, the group with the worst member first.
 * @param {AnyRow[]} items
 * @param {Query} query
 */
function grouped(items, query) {
  /** @type {Map<string, {group: GroupRow, items: AnyRow[]}>} */
  const groups = new Map();
  for (const row of items) {
    const label = textOf(row, query.group) || "–";
    let entry = groups.get(label);
    if (!entry) {
      const closed = query.closed.includes(label);
      entry = { group: { group: query.group, label, count: 0, counts: [0, 0, 0, 0], closed }, items: [] };
      groups.set(label, entry);
    }
    entry.items.push(row);
    entry.group.count += 1;
    entry.group.counts[worst(row)] += 1;
  }
  const ordered = [...groups.values()].sort((a, b) => {
    for (let at = 0; at < 3; at += 1) {
      const difference = b.group.counts[at] - a.group.counts[at];
      if (difference) return difference;
    }
    return COLLATOR.compare(a.group.label, b.group.label);
  });
  return ordered.flatMap((entry) => (entry.group.closed ? [entry.group] : [entry.group, ...entry.items]));
}

/**
 * The most frequent values of a key that contain what was typed.
 * @param {Iterable<AnyRow>} rows
 * @param {(row: AnyRow) => string | string[] | number} read
 * @param {string} typed
 * @param {number} limit
 */
export function values(rows, read, typed, limit) {
  const wanted = typed.toLowerCase();
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const row of rows) {
    const value = read(row);
    for (const text of Array.isArray(value) ? value : [value]) {
      if (typeof text !== "string" || !text || !text.toLowerCase().includes(wanted)) continue;
      const count = found.get(text);
      // A label with a value of its own in each row must not fill the memory.
      if (count !== undefined || found.size < 5000) found.set(text, (count ?? 0) + 1);
    }
  }
  return [...found].sort((a, b) => b[1] - a[1] || COLLATOR.compare(a[0], b[0])).slice(0, limit)
    .map(([text, count]) => ({ text, count }));
}
