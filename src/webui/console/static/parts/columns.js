// The columns of each table: what they show, how they sort, what an export has of them.

import { h, icon } from "../dom.js";
import { badge, history, when } from "./charts.js";
import { entityPath, eventPath } from "../pages.js";
import { line, plural } from "../shared/text.js";
import { severity } from "../shared/records.js";
import { ago, duration } from "../shared/time.js";

/** @typedef {import("./table.js").Column} Column */

/** @param {any} time */
const iso = (time) => (time ? new Date(time * 1000).toISOString() : "");

/**
 * @param {string} id
 * @param {string} title
 * @param {string} width
 * @param {(row: any) => any} cell
 * @param {{sort?: string | false, plain?: (row: any) => unknown}} [more]
 * @returns {Column}
 */
const column = (id, title, width, cell, { sort = id, plain } = {}) => ({
  id, title, width, cell, sort: sort === false ? undefined : sort, plain: plain ?? ((row) => row[id]),
});

/** @param {string} href @param {string} text */
const link = (href, text) => h("a", { href, title: text }, line(text, 200) || "–");
/** @param {unknown} text */
const text = (text) => h("span", { title: String(text ?? "") }, line(String(text ?? ""), 200));
/** @param {any} row */
const silenced = (row) => row.silenced?.length > 0 && h("span.tag", { title: `silenced by ${row.silenced.join(", ")}` }, icon("silenced"), "silenced");

const cluster = column("cluster", "Cluster", "minmax(7.5rem, 1fr)", (row) => h("span.cluster", line(row.cluster, 120)));
const namespace = column("namespace", "Namespace", "minmax(6rem, 1fr)", (row) => text(row.namespace));
const owner = column("owner", "Owner", "minmax(5rem, 1fr)", (row) => text(row.owner));
/** @param {any} row */
const labelsOf = (row) => Object.entries(row.labels).map(([name, value]) => `${name}=${value}`);
const labels = column("labels", "Labels", "minmax(8rem, 2fr)", (row) => text(labelsOf(row).join(" ")), { sort: false, plain: labelsOf });
const subscriptions = column("subscriptions", "Subscriptions", "minmax(8rem, 2fr)", (row) => text(row.subscriptions.join(" ")));
const incidents = column("incidents", "Incidents", "6.5rem", (row) => (row.incidents ? h("span", String(row.incidents)) : h("span.dim", "none")));
const worst = column("status", "Status", "7.5rem", (row) => [badge(row.worst ?? 0), silenced(row)], { sort: "severity", plain: (row) => severity(row.worst ?? 0) });

/** All columns of each table, with those that are shown first. */
export const COLUMNS = {
  events: {
    shown: ["status", "cluster", "namespace", "entity", "check", "output", "history", "since", "owner"],
    all: [
      column("status", "Status", "7.5rem", (row) => [badge(row.status), silenced(row)], { sort: "severity", plain: (row) => severity(row.status) }),
      cluster, namespace,
      column("entity", "Entity", "minmax(8rem, 1.5fr)", (row) => link(entityPath(row), row.entity)),
      column("check", "Check", "minmax(7rem, 1.2fr)", (row) => link(eventPath(row), row.check)),
      column("output", "Output", "minmax(10rem, 3fr)", (row) => text(row.output), { sort: false }),
      column("history", "History", "7.5rem", (row) => history(row.history, row.executed), { sort: false }),
      column("since", "Since", "7rem", (row) => (row.status ? when(row.since) : h("span.dim", "–")), { plain: (row) => iso(row.since) }),
      owner,
      column("time", "Last result", "7rem", (row) => when(row.time), { plain: (row) => iso(row.time) }),
      column("occurrences", "Occurrences", "6.5rem", (row) => String(row.occurrences)),
      column("state", "State", "6rem", (row) => text(row.state)),
      subscriptions, labels,
    ],
  },
  entities: {
    shown: ["status", "cluster", "namespace", "name", "incidents", "class", "platform", "seen", "owner"],
    all: [
      worst, cluster, namespace,
      column("name", "Entity", "minmax(9rem, 2fr)", (row) => link(entityPath(row), row.name)),
      incidents,
      column("class", "Class", "6rem", (row) => text(row.entityClass), { sort: "entityClass", plain: (row) => row.entityClass }),
      column("platform", "Platform", "minmax(6rem, 1fr)", (row) => text(row.platform)),
      column("version", "Agent", "6rem", (row) => text(row.version)),
      column("seen", "Last seen", "7rem", (row) => when(row.seen), { plain: (row) => iso(row.seen) }),
      owner, subscriptions, labels,
    ],
  },
  checks: {
    shown: ["status", "cluster", "namespace", "name", "incidents", "command", "interval", "publish", "owner"],
    all: [
      worst, cluster, namespace,
      column("name", "Check", "minmax(8rem, 1.5fr)", (row) => text(row.name)),
      incidents,
      column("command", "Command", "minmax(10rem, 3fr)", (row) => h("code", { title: row.command }, line(row.command, 200))),
      column("interval", "Schedule", "7rem", (row) => text(row.cron || (row.interval ? `every ${duration(row.interval)}` : "never")), { plain: (row) => row.cron || row.interval }),
      column("publish", "Published", "6.5rem", (row) => (row.publish ? "yes" : h("span.tag", "no")), { plain: (row) => (row.publish ? "yes" : "no") }),
      owner, subscriptions,
      column("handlers", "Handlers", "minmax(6rem, 1fr)", (row) => text(row.handlers.join(" "))),
      labels,
    ],
  },
  silences: {
    shown: ["cluster", "namespace", "subscription", "check", "matches", "reason", "creator", "begin", "expires"],
    all: [
      cluster, namespace,
      column("subscription", "Subscription", "minmax(8rem, 1.5fr)", (row) => text(row.subscription || "any")),
      column("check", "Check", "minmax(6rem, 1fr)", (row) => text(row.check || "any")),
      column("matches", "Holds back", "7rem", (row) => (row.matches ? plural(row.matches, "event") : h("span.dim", "nothing"))),
      column("reason", "Reason", "minmax(8rem, 2fr)", (row) => text(row.reason)),
      column("creator", "Creator", "minmax(5rem, 1fr)", (row) => text(row.creator)),
      column("begin", "Began", "7rem", (row) => when(row.begin), { plain: (row) => iso(row.begin) }),
      column("expires", "Ends", "9rem", (row) => h("span", row.expires ? ago(row.expires) : row.onResolve ? "" : "never",
        row.onResolve && `${row.expires ? " or " : ""}when resolved`), { plain: (row) => iso(row.expires) }),
      labels,
    ],
  },
};
