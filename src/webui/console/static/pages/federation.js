// The clusters and the replicators: what the gateway knows of them, and, for those who may, how to change them.

import { h, replace } from "../dom.js";
import { call } from "../engine.js";
import { federation } from "../engine/client.js";
import { page } from "../pages.js";
import { perform } from "../parts/actions.js";
import { fact, state, tone, when } from "../parts/charts.js";
import { dialog } from "../parts/dialog.js";
import { edit, FORMS } from "../parts/resource.js";
import { having } from "../shared/filter.js";
import { count, explain, line, safe } from "../shared/text.js";
import { duration } from "../shared/time.js";

/** @typedef {import("../app.js").Context} Context */

/** @param {string | null | undefined} time RFC 3339 */
const at = (time) => when(time ? Date.parse(time) / 1000 : 0);

const SOURCES = /** @type {Record<string, string>} */ ({ local: "the gateway's own cluster", config: "set in the gateway's configuration", api: "registered here" });

/** @param {Context} context */
export function clustersPage(context) {
  const list = h("ul.cards.wide");
  const draw = () => {
    const { status, problems, gateway } = context.state();
    if (!status) {
      replace(list, h("li.dim", gateway.failing ? `The gateway's status cannot be read: ${gateway.trouble}.` : "Reading…"));
      return;
    }
    replace(list, status.clusters.map((/** @type {any} */ cluster) =>
      clusterCard(context, cluster, problems.find((/** @type {any} */ problem) => problem.cluster === cluster.name))));
  };
  return federationPage(context, ["clusters"], "Clusters", list, draw,
    "Each is a Sensu cluster of its own, with its own data. The gateway asks all of them at once, and checks every backend every few seconds.");
}

/**
 * @param {Context} context
 * @param {string[]} resources what can be made here
 * @param {string} title
 * @param {any} body
 * @param {() => void} draw
 * @param {string} words
 * @param {() => void} [changed]
 */
function federationPage(context, resources, title, body, draw, words, changed) {
  const tools = h("div.actions");
  const note = h("p.card-error", { hidden: true });
  const state = () => {
    const { permissions, status } = context.state();
    const mine = resources.filter((resource) => may(context, resource, "update"));
    const now = JSON.stringify([mine, permissions]);
    if (tools.dataset.may !== now) {
      tools.dataset.may = now;
      replace(tools, mine.length ? mine.map((resource) => h("button.primary", { onclick: async () =>
        (await edit(resource, undefined, permissions?.[resource]?.includes("update") ? undefined : permissions?.names?.[resource]?.update)) && changed?.() }, FORMS[resource].title))
        : h("span.dim", "You may look, but not change this."));
    }
    const why = status?.authorization_error;
    note.hidden = !why;
    note.textContent = `The rules that say who may change this cannot be read: ${why}`;
    draw();
  };
  state();
  return {
    node: h("section.page", { "aria-label": title }, h("header.page-head", h("div", h("h1", title), h("p.hint", words)), tools), note, body),
    title, kinds: changed ? [] : ["events"], close: () => undefined, state,
  };
}

/**
 * What is not known is offered, and the gateway decides. Without a name: whether there is any that they may do it with.
 * @param {Context} context @param {string} resource @param {string} verb @param {string} [name]
 */
function may(context, resource, verb, name) {
  const { permissions } = context.state();
  return !permissions || permissions[resource]?.includes(verb)
    || permissions.names?.[resource]?.[verb]?.some((/** @type {string} */ each) => name === undefined || each === encodeURIComponent(name));
}

/** @param {string} label @param {string[]} titles @param {any[][]} rows */
const table = (label, titles, rows) => h("div.wide-table", { tabindex: 0, role: "group", "aria-label": label }, h("table", h("thead", h("tr", titles.map((title) => h("th", { scope: "col" }, title)))),
  h("tbody", rows.map(([first, ...others]) => h("tr", h("th", { scope: "row" }, first), others.map((cell) => h("td", cell)))))));

/** @param {Context} context @param {any} cluster @param {any} problem */
function clusterCard(context, cluster, problem) {
  const { name } = cluster;
  const shown = cluster.error === "not checked yet" ? "checking" : cluster.state === "up" && problem ? "degraded" : cluster.state;
  const managed = cluster.source === "api";
  return h("li", { class: `card ${shown}` }, h("header", h("h2", line(name, 120)), state(shown)),
    h("p.dim", `${cluster.version ? `Sensu ${safe(cluster.version, 40)}` : "version not known"} · `, shown === "checking" || !cluster.since ? "not checked yet" : [`${cluster.state} since `, at(cluster.since)],
      ` · ${SOURCES[cluster.source] ?? cluster.source}`),
    problem && h("p.card-error", `${problem.kinds.join(", ")} could not be read, since `, when(problem.since), `: ${explain(problem.error, problem.message)}.`),
    (cluster.warnings ?? []).map((/** @type {string} */ warning) => h("p.card-warning", safe(warning, 400))),
    table(`Backends of ${name}`, ["Backend", "State", "Since", "Answers in", "Last error"], cluster.backends.map((/** @type {any} */ backend) => [safe(backend.url, 300), state(backend.state), at(backend.since),
      typeof backend.latency_ms === "number" ? `${backend.latency_ms.toFixed(1)} ms` : "–", safe(explain(backend.error), 500)])),
    h("div.actions", h("a.button", { href: page("events", { q: having({ cluster: name }) }) }, "Events"), h("a.button", { href: page("entities", { q: having({ cluster: name }) }) }, "Entities"),
      managed && may(context, "clusters", "update", name) && h("button", { onclick: () => void edit("clusters", name) }, "Edit"),
      managed && may(context, "clusters", "delete", name) && h("button", { onclick: () => void remove("clusters", name, "Requests for it are refused from then on. Nothing in the cluster itself changes.") }, "Remove")));
}

/** @param {string} resource @param {string} name @param {string} warning @param {string} [word] @param {"remove" | "giveUp"} [action] */
const remove = (resource, name, warning, word = "Remove", action = "remove") => dialog({
  title: `${word} ${name}`, confirm: word, danger: true, body: [h("p", warning)],
  act: async () => void (await perform(word, action, [{ cluster: name, ns: "", name }], { resource })),
});

const REPLICATION = "A replicator keeps roles, bindings and other resources of another cluster as they are in the local one: rights are given in one place, and hold in all clusters.";

/** The two kinds, which may have the same names. @type {Record<string, {resource: string, how: string}>} */
const TYPES = { Replicator: { resource: "replicators", how: "by API" }, EtcdReplicator: { resource: "etcd-replicators", how: "from etcd to etcd" } };
const RESOURCES = Object.values(TYPES).map(({ resource }) => resource);

/** @param {any} one of the status, or registered */
const keyOf = ({ type = "EtcdReplicator", name, metadata }) => JSON.stringify([name ?? metadata.name, type]);

/** @param {Context} context */
export function replicatorsPage(context) {
  const list = h("ul.cards.wide");
  /** @type {Map<string, any>} */
  let configured = new Map();
  let trouble = "";
  const load = async () => {
    try {
      const found = await Promise.all(RESOURCES.map((resource) => call("get", { path: federation(resource) })));
      configured = new Map(found.flatMap(({ body }) => body).map((item) => [keyOf(item), item]));
      trouble = "";
    } catch (error) {
      trouble = /** @type {Error} */ (error).message;
    }
    draw();
  };
  const draw = () => {
    const { status, gateway } = context.state();
    const states = new Map((status?.replicators ?? []).map((/** @type {any} */ state) => [keyOf(state), state]));
    const keys = [...new Set([...configured.keys(), ...states.keys()])].sort();
    const empty = () => h("li.blank", status ? [h("strong", "There are no replicators."), h("p", "One by API takes ", h("code", "auth.jwt-private-key-file"), " in the gateway's configuration, one from etcd to etcd ", h("code", "replication.source"), ".")]
      : gateway.failing ? `The gateway's status cannot be read: ${gateway.trouble}.` : "Reading…");
    replace(list, trouble && h("li.card-error", `The replicators cannot be read: ${trouble}.`),
      keys.length ? keys.map((key) => replicatorCard(context, JSON.parse(key), configured.get(key), states.get(key), load)) : !trouble && empty());
  };
  void load();
  return federationPage(context, RESOURCES, "Replicators", list, draw, REPLICATION, load);
}

/** @param {Context} context @param {[string, string]} key @param {any} item @param {any} status @param {() => Promise<void>} load */
function replicatorCard(context, [name, type], item, status, load) {
  const spec = item?.spec ?? {};
  const { resource, how } = TYPES[type];
  // What has never been in any state is not run by this gateway at all.
  const off = status?.state === "stopped" && !status.since;
  const from = `${[spec.resource ?? spec.resources].flat().join(", ")}${spec.namespace ? ` of the namespace ${spec.namespace}` : ""}`;
  const to = spec.url ?? (spec.clusters?.[0] === "*" ? "all remote clusters" : spec.clusters?.join(", "));
  const copied = status?.leader ? "this gateway" : off ? "nobody: replication is off here" : status?.state === "stopped" && !status.type ? "–" : "another gateway";
  const shown = off ? "off" : status?.state;
  return h("li", { class: `card ${shown ? tone(shown) : ""}` }, h("header", h("h2", safe(name, 200), h("span.tag", how), spec.dry_run && h("span.tag", "dry run")), shown && state(shown)),
    item && h("p.dim", safe(`${from} → ${to}`, 600)),
    status && h("dl.facts", fact("Copies", status.keys ?? 0), fact("Behind", typeof status.lag_seconds === "number" ? duration(status.lag_seconds) : "–"),
      status.conflicts !== undefined && fact("Conflicts", status.conflicts), fact("Last sync", at(status.last_sync)), fact("Since", at(status.since)), fact("Copied by", copied)),
    status?.error && h("p.card-error", safe(status.error, 1000)),
    status?.clusters?.length > 0 && table(`Clusters of ${name}`, ["Cluster", "State", "Copies", "To do", "Conflicts", "Last error"], status.clusters.map((/** @type {any} */ it) =>
      [line(it.name, 120), state(it.state), it.keys, todo(it.pending), it.conflicts, [safe(it.error, 500), [...(it.examples ?? []).slice(1, 3), ...(it.changes ?? [])].map((text) => h("div", safe(text, 300))), it.conflicts > 3 && h("div", `and ${count(it.conflicts - 3)} more`)]])),
    status && [...notes(status)].map((words) => h("p.card-warning", words)),
    h("div.actions",
      item && may(context, resource, "update", name) && h("button", { onclick: async () => (await edit(resource, name)) && load() }, "Edit"),
      item && may(context, resource, "delete", name) && h("button", { onclick: async () => (await remove(resource, name, spec.on_delete === "keep" ? "What it copied stays where it is." : "What it copied is deleted from where it copied to.")) && load() }, "Remove"),
      status?.deleted && may(context, resource, "delete", name) && h("button", { onclick: () => void remove(resource, name,
        "For a destination that is gone for good: its copies are not removed any more. Where the destination still exists, they stay there, and grant what they grant.", "Give up", "giveUp") }, "Give up")));
}

/** @param {Record<string, number>} pending by what is to be done */
const todo = (pending) => Object.entries(pending).filter(([, number]) => number).map(([what, number]) => `${what} ${count(number)}`).join(", ") || "–";

/** What there is to know beyond its state, and what to do about it. @param {any} status */
function* notes(status) {
  if (status.deleted) {
    yield "It is not registered any more. Its copies are removed as soon as the destination can be written to; if that is gone for good, give it up.";
  }
  for (const { destination, keys, error } of status.left_behind ?? []) {
    yield `What it copied to ${safe(destination, 300)}${keys === null ? "" : ` (${count(keys)})`} is still there, where it copies to no longer, and grants what it grants. ` +
      `The gateway goes on trying to remove it.${error ? ` Last error: ${safe(error, 500)}` : ""}`;
  }
  for (const { keys, federation, gateway, cluster = "its destination" } of status.orphans ?? []) {
    yield `In ${safe(cluster, 120)} there is what another federation has copied (${count(keys)}; ${safe(federation, 60)}${gateway ? `, gateway ${safe(gateway, 120)}` : ""}). ` +
      `To take over, and delete what the local cluster does not have: fedgate adopt ${TYPES[status.type ?? "EtcdReplicator"].resource.slice(0, -1)} ${safe(status.name, 200)}`;
  }
}
