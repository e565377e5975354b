// What a user can do to the chosen rows: buttons, dialogs, outcomes.

import { h } from "../dom.js";
import { call } from "../engine.js";
import { choices, dialog, field } from "./dialog.js";
import { report } from "./toast.js";
import { plural } from "../shared/text.js";
import { now, parseDuration } from "../shared/time.js";

/** @typedef {any} Row */
/** @typedef {import("../engine/actions.js").Target} Target */

/** @param {Row} row @returns {Target} */
const target = (row) => ({ cluster: row.cluster, ns: row.ns, name: row.name, entity: row.entity, check: row.check });

/**
 * @param {string} cluster
 * @param {string} ns
 * @param {string} subscription empty for any
 * @param {string} check empty for any
 * @returns {Target} a silence, named as Sensu does
 */
const silence = (cluster, ns, subscription, check) =>
  ({ cluster, ns, subscription, check, name: `${subscription || "*"}:${check || "*"}` });

/** @param {Row[]} rows */
const clusters = (rows) => [...new Set(rows.map((row) => row.cluster))];

/** Sensu tells nobody their rights: what was refused once is not offered again until the next login. @type {Set<string>} */
const refused = new Set();
export const forgetRefusals = () => refused.clear();

/**
 * What a refusal holds for. Rights may be limited to some names; those of silences are made here, and say nothing.
 * @param {string} action
 * @param {{cluster: string, ns?: string, name: string}} row
 */
const place = (action, { cluster, ns, name }) => JSON.stringify([action, cluster, ns, action === "silence" ? "" : name]);

/**
 * @param {string} what
 * @param {string} action
 * @param {Target[]} targets
 * @param {any} [parameters]
 */
export async function perform(what, action, targets, parameters) {
  const outcomes = await call("act", { action, targets, parameters });
  for (const { ok, status, target } of outcomes) {
    if (status === 403) refused.add(place(action, target));
    else if (ok) refused.delete(place(action, target));
  }
  report(what, outcomes);
  return outcomes;
}

/**
 * Asks before something that cannot be undone.
 * @param {string} what
 * @param {string} confirm
 * @param {string} action
 * @param {Row[]} rows
 * @param {string} [warning]
 */
function confirmed(what, confirm, action, rows, warning) {
  const names = rows.slice(0, 6).map((row) => h("li", `${row.name} (${row.ns || row.cluster})`));
  if (rows.length > 6) names.push(h("li", `and ${rows.length - 6} more`));
  return dialog({
    title: what, confirm, danger: true,
    body: [h("p", `In ${clusters(rows).join(", ")}:`), h("ul", names), warning && h("p.hint", warning)],
    act: async () => void (await perform(what, action, rows.map(target))),
  });
}

const DURATIONS = [["15m", "15 minutes"], ["1h", "1 hour"], ["4h", "4 hours"], ["1d", "1 day"], ["1w", "1 week"], ["", "until it is cleared"]];

/**
 * The fields that every silence has.
 */
function silenceFields() {
  const reason = h("input", { maxlength: 1000, autofocus: true });
  const expire = h("select", DURATIONS.map(([value, text]) => h("option", { value, selected: value === "1h" }, text)),
    h("option", { value: "other" }, "other…"));
  const other = h("input", { placeholder: "90m, 3d", hidden: true, "aria-label": "Other duration" });
  expire.addEventListener("change", () => {
    other.hidden = expire.value !== "other";
    if (!other.hidden) other.focus();
  });
  const onResolve = h("input", { type: "checkbox" });
  const begin = h("input", { type: "datetime-local" });
  const replace = h("input", { type: "checkbox" });
  const nodes = [
    field("Reason", reason, "Shown to everybody who wonders why it is quiet."),
    field("For", expire), other,
    field("Until resolved", onResolve, "Ends as soon as the check passes, if that is earlier."),
    field("Begin", begin, "Empty: at once."),
    field("Replace a silence that exists", replace),
  ];
  const read = () => {
    let seconds = 0;
    if (expire.value === "other") {
      const parsed = parseDuration(other.value);
      if (!parsed) return "Write the duration like 90m, 4h or 3d.";
      seconds = parsed;
    } else if (expire.value) seconds = parseDuration(expire.value) ?? 0;
    const start = begin.value ? Math.floor(new Date(begin.value).getTime() / 1000) : 0;
    if (start && start < now() - 60) return "The beginning has passed already.";
    return { reason: reason.value.trim(), expire: seconds, onResolve: onResolve.checked, begin: start, replace: replace.checked };
  };
  return { nodes, read };
}

/**
 * Asks for the facts of a silence, and makes one for each target.
 * @param {string} title
 * @param {any} before
 * @param {() => Target[] | string} targets a text is an error to show
 */
function silencing(title, before, targets) {
  const { nodes, read } = silenceFields();
  return dialog({
    title, confirm: "Silence", body: [before, nodes],
    act: async () => {
      const parameters = read();
      if (typeof parameters === "string") return parameters;
      const chosen = targets();
      if (typeof chosen === "string") return chosen;
      await perform("Silence", "silence", chosen, parameters);
    },
  });
}

/** @param {Row[]} rows @param {string} one @param {string} many */
const silenceTitle = (rows, one, many) => `Silence ${rows.length === 1 ? rows[0].name : plural(rows.length, one, many)} in ${clusters(rows).join(", ")}`;

/**
 * Silences events: each check on its entity, the whole entity, or the check everywhere.
 * @param {Row[]} rows
 */
function silenceEvents(rows) {
  const scope = h("select",
    h("option", { value: "both" }, "this check on this entity"),
    h("option", { value: "entity" }, "the entity, all its checks"),
    h("option", { value: "check" }, "the check, on all entities of the namespace"));
  const entities = rows.every((row) => row.check === undefined);
  return silencing(entities ? silenceTitle(rows, "entity", "entities") : silenceTitle(rows, "event", "events"), !entities && field("What", scope), () => {
    /** @type {Map<string, Target>} */
    const targets = new Map();
    for (const row of rows) {
      const subscription = entities || scope.value !== "check" ? `entity:${row.entity ?? row.name}` : "";
      const check = !entities && scope.value !== "entity" ? row.check : "";
      // Several events may be silenced by one.
      targets.set(`${row.ns} ${subscription}:${check}`, silence(row.cluster, row.ns, subscription, check));
    }
    return [...targets.values()];
  });
}

/** @param {Row[]} rows */
const silenceChecks = (rows) => silencing(silenceTitle(rows, "check", "checks"), undefined, () => rows.map((row) => silence(row.cluster, row.ns, "", row.name)));

/**
 * A silence for a subscription or a check, in several namespaces of several clusters at once.
 * @param {{name: string, cluster: string}[]} namespaces
 * @param {string[]} unlisted clusters whose namespaces are not known
 */
export function newSilence(namespaces, unlisted) {
  const subscription = h("input", { placeholder: "linux, or entity:web-1" });
  const check = h("input", { placeholder: "cpu" });
  const titles = namespaces.map(({ name, cluster }) => `${name} in ${cluster}`);
  const where = choices("Namespaces", titles, []);
  return silencing("New silence", [
    field("Subscription", subscription, "Empty: any."), field("Check", check, "Empty: any."), where,
    unlisted.length > 0 && h("p.card-warning", `The namespaces of ${unlisted.join(", ")} could not be read.`),
  ], () => {
    const [of, on] = [subscription.value.trim(), check.value.trim()];
    if (!of && !on) return "Name a subscription, a check, or both.";
    const chosen = where.chosen();
    if (!chosen.length) return "Choose at least one namespace.";
    return namespaces.filter((_, at) => chosen.includes(titles[at]))
      .map(({ name, cluster }) => silence(cluster, cluster === "local-cluster" ? name : `${name}@${cluster}`, of, on));
  });
}

/**
 * @typedef {{action: string, label: string, key?: string, run: (rows: Row[]) => unknown}} Action
 */

/** The actions of each table. @type {Record<string, Action[]>} */
export const ACTIONS = {
  events: [
    { action: "silence", label: "Silence", key: "s", run: silenceEvents },
    { action: "clear", label: "Clear silences", key: "u", run: clearOf },
    { action: "resolve", label: "Resolve", key: "r", run: (rows) => perform("Resolve", "resolve", rows.map(target)) },
    { action: "execute", label: "Run again", key: "e", run: (rows) => perform("Run again", "execute",
      rows.map((row) => ({ ...target(row), subscriptions: [`entity:${row.entity}`] }))) },
    { action: "deleteEvent", label: "Delete", run: (rows) => confirmed("Delete events", "Delete", "deleteEvent", rows,
      "An event comes back with the next result of its check.") },
  ],
  entities: [
    { action: "silence", label: "Silence", key: "s", run: silenceEvents },
    { action: "deleteEntity", label: "Delete", run: (rows) => confirmed("Delete entities", "Delete", "deleteEntity", rows,
      "An agent that still runs registers its entity again. The events of the entity are deleted with it.") },
  ],
  checks: [
    { action: "execute", label: "Run now", key: "e", run: (rows) => perform("Run", "execute", rows.map(target)) },
    { action: "publish", label: "Publish", run: (rows) => perform("Publish", "publish", rows.map(target), { publish: true }) },
    { action: "publish", label: "Unpublish", run: (rows) => perform("Unpublish", "publish", rows.map(target), { publish: false }) },
    { action: "silence", label: "Silence", key: "s", run: (rows) => silenceChecks(rows) },
  ],
  silences: [
    { action: "clear", label: "Clear", key: "u", run: (rows) => confirmed("Clear silences", "Clear", "clear", rows) },
  ],
};

/** @param {Row[]} rows */
async function clearOf(rows) {
  const targets = new Map();
  for (const row of rows) {
    for (const name of row.silenced ?? []) targets.set(`${row.ns} ${name}`, { cluster: row.cluster, ns: row.ns, name });
  }
  if (!targets.size) {
    report("Clear silences", [{ target: target(rows[0]), ok: false, message: "it is not silenced", status: 0 }]);
    return;
  }
  await perform("Clear silences", "clear", [...targets.values()]);
}

/**
 * The buttons for the chosen rows.
 * @param {string} kind
 * @param {Row[]} rows
 * @param {() => void} [after]
 */
export function buttons(kind, rows, after) {
  return ACTIONS[kind].map(({ action, label, key, run }) => {
    const isRefused = rows.length > 0 && rows.every((row) => refused.has(place(action, row)));
    return h("button", {
      disabled: !rows.length || isRefused, "aria-keyshortcuts": key,
      title: isRefused ? `You may not do this: it was refused in ${clusters(rows).join(", ")}` : key ? `${label} (${key})` : label,
      onclick: async () => {
        // What was not done after all needs its selection still.
        if ((await run(rows)) !== false) after?.();
      },
    }, label);
  });
}
