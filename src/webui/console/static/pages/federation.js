// The clusters and the replicators: what the gateway knows of them, and, for those who may, how to change them.

import { h, replace } from "../dom.js";
import { call } from "../engine.js";
import { CAUSES, FEDERATION } from "../engine/client.js";
import { page } from "../pages.js";
import { perform, isRefused } from "../parts/actions.js";
import { when } from "../parts/charts.js";
import { dialog, field } from "../parts/dialog.js";
import { line, plural, safe } from "../shared/text.js";
import { duration } from "../shared/time.js";

/** @param {string | null | undefined} time RFC 3339 */
const at = (time) => when(time ? Date.parse(time) / 1000 : 0);

/** @param {string | null | undefined} cause */
const say = (cause) => (cause ? CAUSES[cause] ?? safe(cause, 500) : "");

/** @param {string} state */
const stateBadge = (state) => h("span", { class: `state ${["up", "following"].includes(state) ? "up" : ["down", "stopped", "rejected"].includes(state) ? "down" : "degraded"}` }, state);

/** @param {import("../app.js").Context} context */
export function clustersPage(context) {
  const list = h("ul", { class: "cards wide" });
  const draw = () => {
    const { status, problems, gateway } = context.state();
    if (!status) {
      replace(list, h("li", { class: "dim" }, gateway.failing ? `The gateway's status cannot be read: ${gateway.trouble}` : "Reading…"));
      return;
    }
    replace(list, status.clusters.map((/** @type {any} */ cluster) =>
      clusterCard(cluster, problems.find((/** @type {any} */ problem) => problem.cluster === cluster.name))));
  };
  draw();
  const add = h("button", { type: "button", class: "primary", onclick: () => void editCluster() }, "Register a cluster");
  return {
    node: h("section", { class: "page", "aria-label": "Clusters" }, h("header", { class: "page-head" }, h("h1", null, "Clusters"), refusal("clusters", add)), list),
    title: "Clusters", kinds: ["events"], close: () => undefined, state: draw,
  };
}

/** @param {string} resource @param {any} button */
function refusal(resource, button) {
  if (!isRefused(`put-${resource}`)) return button;
  return h("span", { class: "dim" }, "You may look, but not change this.");
}

/** @param {any} cluster @param {any} problem */
function clusterCard(cluster, problem) {
  const managed = cluster.source === "api";
  const head = h("header", null, h("h2", null, line(cluster.name, 120)), stateBadge(cluster.state));
  const rows = cluster.backends.map((/** @type {any} */ backend) => h("tr", null,
    h("th", { scope: "row", dir: "auto" }, safe(backend.url, 300)), h("td", null, stateBadge(backend.state)), h("td", null, at(backend.since)),
    h("td", null, typeof backend.latency_ms === "number" ? `${backend.latency_ms.toFixed(1)} ms` : "–"), h("td", null, say(backend.error))));
  return h("li", { class: `card ${cluster.state}` }, head,
    h("p", { class: "dim" }, `${cluster.version ? `Sensu ${safe(cluster.version, 40)}` : "version not known"}, ${cluster.state} since `, at(cluster.since),
      `, ${{ local: "the gateway's own cluster", config: "from the gateway's configuration", api: "registered" }[/** @type {string} */ (cluster.source)] ?? cluster.source}`),
    cluster.error && h("p", { class: "card-error" }, say(cluster.error)),
    problem && h("p", { class: "card-error" }, `${plural(problem.kinds.length, "list")} (${problem.kinds.join(", ")}) could not be read: ${say(problem.error)} ${problem.message ? `(${safe(problem.message, 300)})` : ""}`),
    (cluster.warnings ?? []).map((/** @type {string} */ warning) => h("p", { class: "card-warning", dir: "auto" }, safe(warning, 400))),
    h("div", { class: "wide-table" }, h("table", null, h("thead", null, h("tr", null, ["Backend", "State", "Since", "Latency", "Last error"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", null, rows))),
    h("div", { class: "actions" }, h("a", { class: "button", href: page("events", { q: `cluster:${cluster.name}` }) }, "Events"),
      managed && h("button", { type: "button", onclick: () => void editCluster(cluster.name) }, "Edit"),
      managed && h("button", { type: "button", onclick: () => void remove("clusters", cluster.name, "Requests for it are refused from then on. Nothing in the cluster itself changes.") }, "Remove")));
}

/** @param {string} resource @param {string} name @param {string} warning */
async function remove(resource, name, warning) {
  await dialog({
    title: `Remove ${name}`, confirm: "Remove", danger: true, body: [h("p", null, warning)],
    act: async () => void (await perform("Remove", "remove", [{ cluster: name, ns: "", name }], { resource })),
  });
}

/**
 * Puts the server's words beside the field that they are about.
 * @param {Record<string, any>} fields
 * @param {string} message
 * @returns {string | undefined} what belongs to no field
 */
function placeError(fields, message) {
  for (const node of Object.values(fields)) node.say("");
  // The longest name first: `api_version` is not `api`.
  const names = Object.keys(fields).sort((a, b) => b.length - a.length);
  const name = names.find((candidate) => new RegExp(`(^|[^\\w])${candidate}([^\\w]|$)`).test(message));
  if (!name) return message;
  fields[name].say(message);
  return "One field needs another value.";
}

/**
 * Saves a resource of the gateway, with the errors where they belong.
 * @param {string} resource
 * @param {string} name
 * @param {any} object
 * @param {string} etag
 * @param {Record<string, any>} fields
 */
async function save(resource, name, object, etag, fields) {
  const [outcome] = await call("act", { action: "put", targets: [{ cluster: name, ns: "", name }], parameters: { resource, object, etag } });
  if (outcome.ok) return undefined;
  return placeError(fields, outcome.message);
}

/** @param {string} text */
const lines = (text) => text.split(/[\s,]+/).filter(Boolean);

/** @param {string} [name] of one to change */
async function editCluster(name) {
  const loaded = name ? await call("get", { path: `${FEDERATION}/clusters/${encodeURIComponent(name)}` }).catch((error) => error) : undefined;
  if (loaded instanceof Error) return void (await dialog({ title: `Edit ${name}`, body: [h("p", null, loaded.message)] }));
  const spec = loaded?.body?.spec ?? {};
  const inputs = {
    name: h("input", { type: "text", value: name ?? "", readonly: Boolean(name), autofocus: !name, required: true }),
    api_urls: h("textarea", { rows: 3, value: (spec.api_urls ?? []).join("\n") }),
    ca_cert: h("input", { type: "text", value: spec.ca_cert ?? "" }),
    cert: h("input", { type: "text", value: spec.cert ?? "" }),
    key: h("input", { type: "text", value: spec.key ?? "" }),
    insecure: h("input", { type: "checkbox", checked: spec.insecure === true }),
  };
  const fields = {
    name: field("Name", inputs.name, "Users write namespace@name."),
    api_urls: field("API URLs", inputs.api_urls, "One for each backend, like https://sensu.example.com:8080."),
    ca_cert: field("CA certificate", inputs.ca_cert, "A path on the gateway. Empty: the system's."),
    cert: field("Client certificate", inputs.cert, "A path on the gateway."),
    key: field("Its key", inputs.key, "A path on the gateway."),
    insecure: field("Accept any certificate", inputs.insecure, "Passwords and tokens can then be read on the way."),
  };
  const object = () => {
    /** @type {any} */
    const made = { ...spec, api_urls: lines(inputs.api_urls.value) };
    for (const key of /** @type {const} */ (["ca_cert", "cert", "key"])) {
      if (inputs[key].value.trim()) made[key] = inputs[key].value.trim();
      else delete made[key];
    }
    if (inputs.insecure.checked || spec.insecure !== undefined) made.insecure = inputs.insecure.checked;
    return { type: "Cluster", api_version: "federation/v1", metadata: { ...loaded?.body?.metadata, name: inputs.name.value.trim() }, spec: made };
  };
  await dialog({
    title: name ? `Edit ${name}` : "Register a cluster", confirm: name ? "Save" : "Register", body: Object.values(fields),
    act: async () => {
      if (!inputs.name.value.trim()) return placeError(fields, "name is missing");
      return save("clusters", inputs.name.value.trim(), object(), loaded?.etag ?? "", fields);
    },
  });
}

/** @param {import("../app.js").Context} context */
export function replicatorsPage(context) {
  const table = h("div", { class: "wide-table panel" });
  const note = h("p", { class: "form-error", role: "alert" });
  /** @type {Map<string, any>} */
  let configured = new Map();
  const load = async () => {
    try {
      const { body } = await call("get", { path: `${FEDERATION}/etcd-replicators` });
      configured = new Map(body.map((/** @type {any} */ item) => [item.metadata.name, item]));
      note.textContent = "";
    } catch (error) {
      note.textContent = `The replicators cannot be read: ${/** @type {Error} */ (error).message}`;
    }
    draw();
  };
  const draw = () => {
    const { status } = context.state();
    const states = new Map((status?.replicators ?? []).map((/** @type {any} */ state) => [state.name, state]));
    const names = [...new Set([...configured.keys(), ...states.keys()])].sort();
    replace(table, names.length ? h("table", null, h("thead", null, h("tr", null,
      ["Name", "Copies", "To", "State", "Since", "Keys", "Lag", "Last sync", "Error", ""].map((title) => h("th", { scope: "col" }, title || h("span", { class: "hidden" }, "Actions"))))),
    h("tbody", null, names.map((name) => replicatorRow(name, configured.get(name), states.get(name), load))))
      : h("p", { class: "dim" }, status ? "None. A replicator keeps roles, bindings and other resources of other clusters as in the local one." : "Reading…"));
  };
  void load();
  draw();
  const add = h("button", { type: "button", class: "primary", onclick: async () => {
    await editReplicator();
    void load();
  } }, "New replicator");
  return {
    node: h("section", { class: "page", "aria-label": "Replicators" }, h("header", { class: "page-head" }, h("h1", null, "Replicators"), refusal("etcd-replicators", add)), note, table),
    title: "Replicators", kinds: [], close: () => undefined, state: draw,
  };
}

/** @param {string} name @param {any} item @param {any} state @param {() => Promise<void>} load */
function replicatorRow(name, item, state, load) {
  const spec = item?.spec ?? {};
  return h("tr", null, h("th", { scope: "row", dir: "auto" }, safe(name, 200)),
    h("td", null, spec.resource ? `${spec.resource}${spec.namespace ? ` of ${spec.namespace}` : ""}` : "–"), h("td", { dir: "auto" }, safe(spec.url, 200) || "–"),
    h("td", null, state ? stateBadge(state.state) : "–"), h("td", null, at(state?.since)), h("td", null, state?.keys?.toLocaleString?.() ?? "–"),
    h("td", null, typeof state?.lag_seconds === "number" ? duration(state.lag_seconds) : "–"), h("td", null, at(state?.last_sync)), h("td", { dir: "auto" }, safe(state?.error, 500)),
    h("td", { class: "actions" }, item && h("button", { type: "button", onclick: async () => {
      await editReplicator(name);
      await load();
    } }, "Edit"), item && h("button", { type: "button", onclick: async () => {
      await remove("etcd-replicators", name, "What it copied is removed from the other cluster.");
      await load();
    } }, "Remove")));
}

const RESOURCES = ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Namespace", "User", "Asset", "CheckConfig", "Handler", "EventFilter", "Mutator", "HookConfig", "Pipeline"];

/** @param {string} [name] */
async function editReplicator(name) {
  const loaded = name ? await call("get", { path: `${FEDERATION}/etcd-replicators/${encodeURIComponent(name)}` }).catch((error) => error) : undefined;
  if (loaded instanceof Error) return void (await dialog({ title: `Edit ${name}`, body: [h("p", null, loaded.message)] }));
  const spec = loaded?.body?.spec ?? { replication_interval_seconds: 30 };
  const inputs = {
    name: h("input", { type: "text", value: name ?? "", readonly: Boolean(name) }),
    resource: h("select", { disabled: Boolean(name) }, [...new Set([spec.resource ?? "Role", ...RESOURCES])].map((value) => h("option", { value, selected: value === spec.resource }, value))),
    namespace: h("input", { type: "text", value: spec.namespace ?? "" }),
    url: h("textarea", { rows: 2, value: spec.url ?? "" }),
    ca_cert: h("input", { type: "text", value: spec.ca_cert ?? "" }),
    cert: h("input", { type: "text", value: spec.cert ?? "" }),
    key: h("input", { type: "text", value: spec.key ?? "" }),
    insecure: h("input", { type: "checkbox", checked: spec.insecure === true }),
    replication_interval_seconds: h("input", { type: "number", min: 1, value: String(spec.replication_interval_seconds ?? 30) }),
  };
  const fields = {
    name: field("Name", inputs.name),
    resource: field("Copies", inputs.resource, "Kinds are replicated one by one; it cannot change later."),
    namespace: field("Namespace", inputs.namespace, "Empty: all."),
    url: field("etcd of the other cluster", inputs.url, "Comma-separated, like https://10.0.0.1:2379."),
    ca_cert: field("CA certificate", inputs.ca_cert, "A path on the gateway."), cert: field("Client certificate", inputs.cert, "A path on the gateway."), key: field("Its key", inputs.key, "A path on the gateway."),
    insecure: field("Accept any certificate", inputs.insecure),
    replication_interval_seconds: field("Full comparison every (seconds)", inputs.replication_interval_seconds),
  };
  await dialog({
    title: name ? `Edit ${name}` : "New replicator", confirm: "Save", body: Object.values(fields),
    act: async () => {
      if (!inputs.name.value.trim()) return placeError(fields, "name is missing");
      /** @type {any} */
      const made = { ...spec, resource: inputs.resource.value, url: inputs.url.value.trim(), insecure: inputs.insecure.checked,
        replication_interval_seconds: Number(inputs.replication_interval_seconds.value) };
      for (const key of /** @type {const} */ (["namespace", "ca_cert", "cert", "key"])) {
        if (inputs[key].value.trim()) made[key] = inputs[key].value.trim();
        else delete made[key];
      }
      const object = { type: "EtcdReplicator", api_version: "federation/v1", metadata: { ...loaded?.body?.metadata, name: inputs.name.value.trim() }, spec: made };
      return save("etcd-replicators", inputs.name.value.trim(), object, loaded?.etag ?? "", fields);
    },
  });
}
