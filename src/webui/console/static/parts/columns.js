// The columns of each table: what they show, how they sort, what an export has of them.

import { history, link, status, text, time } from "./cells.js";
import { entityPath, eventPath } from "../pages.js";
import { plural } from "../shared/text.js";
import { severity } from "../shared/records.js";
import { ago, duration } from "../shared/time.js";

/** @typedef {import("./table.js").Column} Column */
/** @typedef {import("./cells.js").Read} Read */

/**
 * @param {string} id
 * @param {string} title
 * @param {string} width
 * @param {() => import("./cells.js").Cell} cell
 * @param {{sort?: string | false, plain?: Read}} [more]
 * @returns {Column}
 */
const column = (id, title, width, cell, { sort = id, plain } = {}) => ({
  id, title, width, cell, sort: sort === false ? undefined : sort, plain: plain ?? ((row) => row[id]),
});

/** A member of the row as it is. @param {string} id @param {string} title @param {string} width @param {string | false} [sort] */
const member = (id, title, width, sort) => column(id, title, width, text((row) => row[id]), { sort });

/** A member with several values. @param {string} id @param {string} title */
const several = (id, title) => column(id, title, "minmax(8rem, 2fr)", text((row) => row[id].join(" ")));

/** @param {string} id @param {string} title @param {Read} [read] */
const moment = (id, title, read = (row) => row[id]) => column(id, title, "7rem", time(read), { plain: iso(id) });

/** @param {string} id @returns {Read} */
const iso = (id) => (row) => (row[id] ? new Date(row[id] * 1000).toISOString() : "");

/** @param {Read} read */
const state = (read) => column("status", "Status", "7.5rem", status(read), { sort: "severity", plain: (row) => severity(read(row)) });

/** @type {Read} */
const labelled = (row) => Object.entries(row.labels).map(([name, value]) => `${name}=${value}`);

const cluster = member("cluster", "Cluster", "minmax(7.5rem, 1fr)");
const namespace = member("namespace", "Namespace", "minmax(7rem, 1fr)");
const owner = member("owner", "Owner", "minmax(5rem, 1fr)");
const labels = column("labels", "Labels", "minmax(8rem, 2fr)", text((row) => labelled(row).join(" ")), { sort: false, plain: labelled });
const subscriptions = several("subscriptions", "Subscriptions");
const incidents = column("incidents", "Incidents", "6.5rem", text((row) => row.incidents, "none"));
const worst = state((row) => row.worst ?? 0);

/** How many columns of each table are shown unless others are chosen: the first. */
export const SHOWN = 9;

/** All columns of each table. */
export const COLUMNS = {
  events: [
    state((row) => row.status), cluster, namespace,
    column("entity", "Entity", "minmax(8rem, 1.5fr)", link((row) => row.entity, entityPath)),
    column("check", "Check", "minmax(7rem, 1.2fr)", link((row) => row.check, eventPath)),
    member("output", "Output", "minmax(10rem, 3fr)", false),
    column("history", "History", "7.5rem", history, { sort: false }),
    moment("since", "Since", (row) => row.status && row.since),
    owner,
    moment("time", "Last result"),
    column("occurrences", "Occurrences", "6.5rem", text((row) => String(row.occurrences))),
    member("state", "State", "6rem"),
    subscriptions, labels,
  ],
  entities: [
    worst, cluster, namespace,
    column("name", "Entity", "minmax(9rem, 2fr)", link((row) => row.name, entityPath)),
    incidents,
    column("class", "Class", "6rem", text((row) => row.entityClass), { sort: "entityClass", plain: (row) => row.entityClass }),
    member("platform", "Platform", "minmax(6rem, 1fr)"),
    moment("seen", "Last seen"),
    owner,
    member("version", "Agent", "6rem"),
    subscriptions, labels,
  ],
  checks: [
    worst, cluster, namespace,
    member("name", "Check", "minmax(8rem, 1.5fr)"),
    incidents,
    member("command", "Command", "minmax(10rem, 3fr)"),
    column("interval", "Schedule", "7rem", text((row) => row.cron || (row.interval && `every ${duration(row.interval)}`), "never"), { plain: (row) => row.cron || row.interval }),
    column("publish", "Published", "6.5rem", text((row) => row.publish && "yes", "no", "tag"), { plain: (row) => (row.publish ? "yes" : "no") }),
    owner, subscriptions, several("handlers", "Handlers"), labels,
  ],
  silences: [
    cluster, namespace,
    column("subscription", "Subscription", "minmax(8rem, 1.5fr)", text((row) => row.subscription, "any")),
    column("check", "Check", "minmax(6rem, 1fr)", text((row) => row.check, "any")),
    column("matches", "Holds back", "7rem", text((row) => row.matches && plural(row.matches, "event"), "nothing")),
    member("reason", "Reason", "minmax(8rem, 2fr)"),
    member("creator", "Creator", "minmax(5rem, 1fr)"),
    moment("begin", "Began"),
    column("expires", "Ends", "9rem", text((row) => [ago(row.expires), row.onResolve && "when resolved"].filter(Boolean).join(" or "), "never", ""), { plain: iso("expires") }),
    labels,
  ],
};
