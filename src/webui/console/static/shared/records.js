// What the tables keep of each object: enough to show, filter, sort and group a row. An event has some 2.5 kB on the wire;
// 50,000 of them would be too much to keep whole. The page of one object asks for all of it.

import { line, safe, string } from "./text.js";

/**
 * @typedef {object} Row
 * @property {string} key       unique over clusters
 * @property {string} cluster
 * @property {string} namespace as its own cluster knows it
 * @property {string} ns        as the gateway takes it: qualified for remote clusters
 * @property {string} name
 * @property {Record<string, string>} labels
 * @property {string} text      what a bare word is looked for in, in lower case
 *
 * @typedef {Row & {entity: string, check: string, status: number, state: string, output: string, time: number,
 *   since: number, changed: number, occurrences: number, silenced: string[], owner: string, history: string,
 *   executed: number[], interval: number, subscriptions: string[], entityClass: string}} EventRow
 */

/** Statuses from worst to best; anything but 0, 1 and 2 is unknown (Sensu's check specification). */
export const SEVERITIES = /** @type {const} */ (["critical", "warning", "unknown", "passing"]);

/**
 * @param {number} status
 * @returns {typeof SEVERITIES[number]}
 */
export const severity = (status) =>
  status === 0 ? "passing" : status === 1 ? "warning" : status === 2 ? "critical" : "unknown";

/** @param {number} status 0 is worst */
export const rank = (status) => (status === 2 ? 0 : status === 1 ? 1 : status === 0 ? 3 : 2);

/** @param {unknown} value @returns {Record<string, any>} */
const object = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
/** @param {unknown} value */
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : 0);
/** @param {unknown} value @returns {string[]} */
const strings = (value) => (Array.isArray(value) ? value.filter((item) => typeof item === "string") : []);

/** @param {unknown} value @returns {Record<string, string>} */
function labels(value) {
  /** @type {Record<string, string>} */
  const found = Object.create(null);
  let room = 64;
  for (const [name, text] of Object.entries(object(value))) {
    if (room-- === 0) break;
    found[name] = safe(text, 256);
  }
  return found;
}

const OWNER = ["team", "owner", "contact", "contacts", "sensu.io/contacts"];

/**
 * Who cares for it, by the labels and annotations in common use.
 * @param {...unknown} places
 */
function owner(...places) {
  for (const place of places) {
    const values = object(place);
    for (const name of OWNER) if (typeof values[name] === "string" && values[name]) return safe(values[name], 120);
  }
  return "";
}

/**
 * The parts that every row has.
 * @param {string} cluster
 * @param {Record<string, any>} metadata
 * @param {string} name
 */
function base(cluster, metadata, name) {
  const ns = string(metadata.namespace);
  return { cluster, ns, namespace: ns.split("@")[0], name, key: JSON.stringify([cluster, ns, name]) };
}

/**
 * What has a name of its own becomes a row; anything else none.
 * @template T
 * @param {(item: any, metadata: Record<string, any>) => T} make what is of its kind alone
 */
const named = (make) => (/** @type {any} */ item, /** @type {string} */ cluster) => {
  const metadata = object(item?.metadata);
  return typeof metadata.name === "string" ? { ...base(cluster, metadata, metadata.name), labels: labels(metadata.labels), ...make(item, metadata) } : undefined;
};

/** @param {any} item @param {string} cluster @returns {EventRow | undefined} */
export function eventRow(item, cluster) {
  const check = object(item?.check);
  const entity = object(item?.entity);
  const entityName = object(entity.metadata).name;
  const checkName = object(check.metadata).name;
  // Events that only carry metrics have no check, and are no state of anything.
  if (typeof entityName !== "string" || typeof checkName !== "string") return undefined;
  const metadata = { ...object(check.metadata), ...object(item.metadata) };
  if (!metadata.namespace) metadata.namespace = object(entity.metadata).namespace;
  const history = Array.isArray(check.history) ? check.history.slice(-21) : [];
  const status = number(check.status);
  const executed = history.map((entry) => number(object(entry).executed));
  const results = history.map((entry) => number(object(entry).status));
  const all = { ...labels(object(entity.metadata).labels), ...labels(object(check.metadata).labels) };
  const output = line(check.output);
  return {
    ...base(cluster, metadata, `${entityName}/${checkName}`),
    entity: entityName,
    check: checkName,
    status,
    state: string(check.state),
    output,
    time: number(item.timestamp) || number(check.executed),
    since: since(status, results, executed, number(check.last_ok)),
    changed: lastChange(results, executed),
    occurrences: number(check.occurrences),
    silenced: strings(check.silenced),
    owner: owner(object(check.metadata).labels, object(check.metadata).annotations,
      object(entity.metadata).labels, object(entity.metadata).annotations),
    history: results.map((result) => (result >= 0 && result <= 2 ? result : 3)).join(""),
    executed,
    interval: number(check.interval),
    subscriptions: strings(check.subscriptions),
    entityClass: string(entity.entity_class),
    labels: all,
    text: `${entityName} ${checkName} ${output}`.toLowerCase(),
  };
}

/**
 * When the present incident began: the first bad result after the last good one.
 * @param {number} status
 * @param {number[]} results
 * @param {number[]} executed
 * @param {number} lastOk
 */
function since(status, results, executed, lastOk) {
  if (status === 0) return 0;
  let first = results.length;
  while (first > 0 && results[first - 1] !== 0) first -= 1;
  // Older than the history: Sensu still knows when it was last well.
  if (first === 0 && lastOk) return lastOk;
  return executed[first] ?? 0;
}

/**
 * When the result was last another one; 0 when the history has no change.
 * @param {number[]} results
 * @param {number[]} executed
 */
function lastChange(results, executed) {
  for (let at = results.length - 1; at > 0; at -= 1) if (results[at] !== results[at - 1]) return executed[at];
  return 0;
}

export const entityRow = named((item, metadata) => {
  const system = object(item.system);
  const platform = [system.platform || system.os, system.platform_version].filter(Boolean).join(" ");
  return {
    entityClass: string(item.entity_class),
    subscriptions: strings(item.subscriptions),
    seen: number(item.last_seen),
    platform: safe(platform, 80),
    version: safe(item.sensu_agent_version, 40),
    owner: owner(metadata.labels, metadata.annotations),
    worst: 0,
    incidents: 0,
    silenced: /** @type {string[]} */ ([]),
    text: `${metadata.name} ${platform}`.toLowerCase(),
  };
});

const checkRow = named((item, metadata) => {
  const command = line(item.command);
  return {
    command,
    interval: number(item.interval),
    cron: safe(item.cron, 80),
    publish: item.publish === true,
    subscriptions: strings(item.subscriptions),
    handlers: strings(item.handlers),
    owner: owner(metadata.labels, metadata.annotations),
    worst: 0,
    incidents: 0,
    text: `${metadata.name} ${command}`.toLowerCase(),
  };
});

const silenceRow = named((item, metadata) => {
  const reason = line(item.reason);
  const begin = number(item.begin);
  return {
    subscription: string(item.subscription),
    check: string(item.check),
    reason,
    creator: safe(item.creator || metadata.created_by, 120),
    begin,
    expires: number(item.expire_at) || (number(item.expire) > 0 ? begin + number(item.expire) : 0),
    onResolve: item.expire_on_resolve === true,
    matches: 0,
    text: `${metadata.name} ${reason} ${item.creator ?? ""}`.toLowerCase(),
  };
});

/** Each kind of list: where it is, and how its items become rows. */
export const KINDS = {
  events: { resource: "events", row: eventRow },
  entities: { resource: "entities", row: entityRow },
  checks: { resource: "checks", row: checkRow },
  silences: { resource: "silenced", row: silenceRow },
};

/** @typedef {keyof typeof KINDS} Kind */
