// The clusters and the replicators: what the gateway knows of them, and, for those who may, how to change them.

import { h, replace } from "../dom.js";
import { call } from "../engine.js";
import { FEDERATION } from "../engine/client.js";
import { page } from "../pages.js";
import { perform } from "../parts/actions.js";
import { fact, state, tone, when } from "../parts/charts.js";
import { dialog } from "../parts/dialog.js";
import { edit } from "../parts/resource.js";
import { having } from "../shared/filter.js";
import { explain, line, plural, safe } from "../shared/text.js";
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
  return federationPage(context, "clusters", "Clusters", list, draw,
    "Each is a Sensu cluster of its own, with its own data. The gateway asks all of them at once, and checks every backend every few seconds.");
}

/**
 * @param {Context} context
 * @param {"clusters" | "etcd-replicators"} resource
 * @param {string} title
 * @param {any} body
 * @param {() => void} draw
 * @param {string} words
 * @param {() => void} [changed]
 */
function federationPage(context, resource, title, body, draw, words, changed) {
  const tools = h("div");
  const note = h("p.card-error", { hidden: true });
  const state = () => {
    const mayAdd = may(context, resource, "update");
    if (tools.dataset.may !== String(mayAdd)) {
      tools.dataset.may = String(mayAdd);
      replace(tools, mayAdd ? h("button.primary", { onclick: async () => (await edit(resource)) && changed?.() }, resource === "clusters" ? "Register a cluster" : "New replicator")
        : h("span.dim", "You may look, but not change this."));
    }
    const why = context.state().status?.authorization_error;
    note.hidden = !why;
    note.textContent = `The rules that say who may change this cannot be read: ${why}`;
    draw();
  };
  state();
  return {
    node: h("section.page", { "aria-label": title }, h("header.page-head", h("div", h("h1", title), h("p.hint", words)), tools), note, body),
    title, kinds: resource === "clusters" ? ["events"] : [], close: () => undefined, state,
  };
}

/** What is not known is offered, and the gateway decides. @param {Context} context @param {string} resource @param {string} verb */
const may = (context, resource, verb) => context.state().permissions?.[resource]?.includes(verb) ?? true;

/** @param {Context} context @param {any} cluster @param {any} problem */
function clusterCard(context, cluster, problem) {
  const { name } = cluster;
  const shown = cluster.error === "not checked yet" ? "checking" : cluster.state;
  const managed = cluster.source === "api";
  const rows = cluster.backends.map((/** @type {any} */ backend) => h("tr",
    h("th", { scope: "row" }, safe(backend.url, 300)), h("td", state(backend.state)), h("td", at(backend.since)),
    h("td", typeof backend.latency_ms === "number" ? `${backend.latency_ms.toFixed(1)} ms` : "–"), h("td.wrap", safe(explain(backend.error), 500))));
  return h("li", { class: `card ${shown}` }, h("header", h("h2", line(name, 120)), state(shown)),
    h("p.dim", `${cluster.version ? `Sensu ${safe(cluster.version, 40)}` : "version not known"} · `, shown === "checking" || !cluster.since ? "not checked yet" : [`${shown} since `, at(cluster.since)],
      ` · ${SOURCES[cluster.source] ?? cluster.source}`),
    problem && h("p.card-error", `${problem.kinds.join(", ")} could not be read, since `, when(problem.since), `: ${explain(problem.error, problem.message)}.`),
    (cluster.warnings ?? []).map((/** @type {string} */ warning) => h("p.card-warning", safe(warning, 400))),
    h("div.wide-table", { tabindex: 0, role: "group", "aria-label": `Backends of ${name}` }, h("table", h("thead", h("tr", ["Backend", "State", "Since", "Answers in", "Last error"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", rows))),
    h("div.actions", h("a.button", { href: page("events", { q: having({ cluster: name }) }) }, "Events"), h("a.button", { href: page("entities", { q: having({ cluster: name }) }) }, "Entities"),
      managed && may(context, "clusters", "update") && h("button", { onclick: () => void edit("clusters", name) }, "Edit"),
      managed && may(context, "clusters", "delete") && h("button", { onclick: () => void remove("clusters", name, "Requests for it are refused from then on. Nothing in the cluster itself changes.") }, "Remove")));
}

/** @param {string} resource @param {string} name @param {string} warning @param {string} [word] */
const remove = (resource, name, warning, word = "Remove") => dialog({
  title: `${word} ${name}`, confirm: word, danger: true, body: [h("p", warning)],
  act: async () => void (await perform(word, "remove", [{ cluster: name, ns: "", name }], { resource })),
});

const REPLICATION = "A replicator keeps roles, bindings, users or other resources of another cluster as they are in the local one: rights are given in one place, and hold in all clusters.";

/** @param {Context} context */
export function replicatorsPage(context) {
  const list = h("ul.cards.wide");
  /** @type {Map<string, any>} */
  let configured = new Map();
  let trouble = "";
  const load = async () => {
    try {
      const { body } = await call("get", { path: `${FEDERATION}/etcd-replicators` });
      configured = new Map(body.map((/** @type {any} */ item) => [item.metadata.name, item]));
      trouble = "";
    } catch (error) {
      trouble = /** @type {Error} */ (error).message;
    }
    draw();
  };
  const draw = () => {
    const { status, gateway } = context.state();
    const states = new Map((status?.replicators ?? []).map((/** @type {any} */ state) => [state.name, state]));
    const names = [...new Set([...configured.keys(), ...states.keys()])].sort();
    const empty = () => h("li.blank", status ? [h("strong", "There are no replicators."), h("p", "The gateway needs the local cluster's etcd for this: ", h("code", "replication.source"), " in its configuration.")]
      : gateway.failing ? `The gateway's status cannot be read: ${gateway.trouble}.` : "Reading…");
    replace(list, trouble && h("li.card-error", `The replicators cannot be read: ${trouble}.`),
      names.length ? names.map((name) => replicatorCard(context, name, configured.get(name), states.get(name), load)) : !trouble && empty());
  };
  void load();
  return federationPage(context, "etcd-replicators", "Replicators", list, draw, REPLICATION, load);
}

/** @param {Context} context @param {string} name @param {any} item @param {any} status @param {() => Promise<void>} load */
function replicatorCard(context, name, item, status, load) {
  const spec = item?.spec ?? {};
  return h("li", { class: `card ${status ? tone(status.state) : ""}` }, h("header", h("h2", safe(name, 200)), status && state(status.state)),
    item && h("p.dim", `${spec.resource}${spec.namespace ? ` of the namespace ${spec.namespace}` : ""} → ${safe(spec.url, 300)}`),
    status && h("dl.facts", fact("Keys", (status.keys ?? 0).toLocaleString()), fact("Behind", typeof status.lag_seconds === "number" ? duration(status.lag_seconds) : "–"),
      fact("Last sync", at(status.last_sync)), fact("Since", at(status.since)), fact("Copied by", status.leader ? "this gateway" : status.state === "stopped" ? "–" : "another gateway")),
    status?.error && h("p.card-error", safe(status.error, 1000)),
    status && [...notes(status)].map((words) => h("p.card-warning", words)),
    h("div.actions",
      item && may(context, "etcd-replicators", "update") && h("button", { onclick: async () => (await edit("etcd-replicators", name)) && load() }, "Edit"),
      item && may(context, "etcd-replicators", "delete") && h("button", { onclick: async () => (await remove("etcd-replicators", name, "What it copied is deleted from the other cluster.")) && load() }, "Remove"),
      status?.deleted && may(context, "etcd-replicators", "delete") && h("button", { onclick: () => void remove("etcd-replicators", name,
        "For a destination that is gone for good: its copies are not removed any more. Where the destination still exists, they stay there, and grant what they grant.", "Give up") }, "Give up")));
}

/** What there is to know beyond its state, and what to do about it. @param {any} status */
function* notes(status) {
  if (status.deleted) {
    yield "It is not registered any more. Its copies are removed as soon as the destination can be written to; if that is gone for good, give it up.";
  }
  for (const left of status.left_behind ?? []) {
    yield `${plural(left.keys, "key")} that it copied ${left.keys === 1 ? "is" : "are"} still at ${safe(left.destination, 300)}, where it copies to no longer, and ${left.keys === 1 ? "grants what it grants" : "grant what they grant"}. ` +
      `The gateway goes on trying to remove ${left.keys === 1 ? "it" : "them"}.${left.error ? ` Last error: ${safe(left.error, 500)}` : ""}`;
  }
  for (const orphan of status.orphans ?? []) {
    yield `${plural(orphan.keys, "key")} in its destination ${orphan.keys === 1 ? "is" : "are"} of a federation that is gone (${safe(orphan.federation, 60)}, gateway ${safe(orphan.gateway, 120)}), and nobody looks after ` +
      `${orphan.keys === 1 ? "it" : "them"}. To take over, and delete what the local cluster does not have: fedgate adopt etcd-replicator ${safe(status.name, 200)}`;
  }
}
