// The form of a cluster or a replicator: loaded, tested, saved, with the server's words beside the field that they are about.

import { h, replace } from "../dom.js";
import { call } from "../engine.js";
import { federation } from "../engine/client.js";
import { state } from "./charts.js";
import { choices, dialog, field } from "./dialog.js";
import { toast } from "./toast.js";
import { own, plural, safe } from "../shared/text.js";

/** @typedef {[key: string, label: string, hint?: string, kind?: "lines" | "check" | "number" | "choice" | "choices", values?: string[]]} Field */

/** @type {Field[]} */
const TLS = [
  ["ca_cert", "CA certificate", "A path on the gateway's machine. Empty: the system's certificates."],
  ["cert", "Client certificate", "A path on the gateway's machine, if a client certificate is wanted."],
  ["key", "Its key", "A path on the gateway's machine."],
  ["insecure", "Accept any certificate", "Whoever is on the way can then read along.", "check"],
];
const BY_API = ["Namespace", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Asset", "CheckConfig", "EventFilter", "Handler", "HookConfig", "Mutator", "Pipeline"];
/** @type {Field} */
const EVERY = ["replication_interval_seconds", "Compare everything every (seconds)", "Changes are copied at once; this undoes what was changed there.", "number"];
/** @type {Field} */
const NAMESPACE = ["namespace", "Namespace", "Empty: all."];

/** @type {Record<string, {type: string, title: string, confirm: string, fields: Field[]}>} */
export const FORMS = {
  clusters: {
    type: "Cluster", title: "Register a cluster", confirm: "Register",
    fields: [["name", "Name", "Stands in the cluster column, and behind the @ of its namespaces."], ["api_urls", "API URLs", "One line for each backend, like https://sensu.example.com:8080", "lines"], ...TLS],
  },
  replicators: {
    type: "Replicator", title: "New replicator", confirm: "Save",
    fields: [["name", "Name"], ["resources", "Copies", "", "choices", BY_API], ["clusters", "To", "Names of clusters, registered or not yet; * is all remote ones, those that come later too.", "lines"], NAMESPACE, EVERY,
      ["conflicts", "Conflicts", "Of objects of the same name that are no copies. report leaves them and names them here, overwrite makes them copies.", "choice", ["report", "overwrite"]],
      ["on_delete", "When the original is gone", "remove deletes its copies, keep leaves them.", "choice", ["remove", "keep"]],
      ["dry_run", "Only count what would be done", "", "check"]],
  },
  "etcd-replicators": {
    type: "EtcdReplicator", title: "New etcd replicator", confirm: "Save",
    fields: [["name", "Name"], ["resource", "Copies", "One kind for each replicator; it cannot change later.", "choice", [...BY_API, "User", "APIKey", "Silenced"]], NAMESPACE,
      ["url", "etcd of the other cluster", "One line for each endpoint, like https://10.0.0.1:2379", "lines"], ...TLS, EVERY],
  },
};

const NAMELESS = "metadata.name is missing";

/**
 * Puts the server's words beside the field that they are about.
 * @param {Record<string, any>} nodes
 * @param {string} message
 * @returns {string | undefined} what belongs to no field
 */
function place(nodes, message) {
  for (const node of Object.values(nodes)) node.say("");
  const node = own(nodes, /\b(?:spec|metadata)\.(\w+)/.exec(message)?.[1] ?? "");
  if (!node) return message || undefined;
  node.say(message);
  return "One field needs another value.";
}

/**
 * @param {Field} field
 * @param {any} value
 * @param {boolean} fixed
 */
function node([key, label, hint, kind, values = []], value, fixed) {
  const all = [...new Set([...[value ?? []].flat(), ...values])];
  if (kind === "choices") return choices(label, all, value ?? [], hint);
  const control = kind === "choice" ? h("select", { disabled: fixed }, all.map((text) => h("option", { value: text, selected: text === value }, text)))
    : kind === "check" ? h("input", { type: "checkbox", checked: value === true })
      : kind === "lines" ? h("textarea", { rows: 2, value: (Array.isArray(value) ? value : (value ?? (key === "clusters" ? "*" : "")).split(",")).join("\n"), spellcheck: "false" })
        : kind === "number" ? h("input", { type: "number", min: 1, value: String(value ?? 30) })
          : h("input", { value: value ?? "", readonly: fixed, spellcheck: "false", autocapitalize: "none" });
  return Object.assign(field(label, control, hint), { control });
}

/**
 * @param {string} resource
 * @param {string} [name] of one to change
 * @param {string[]} [only] the names that a new one may have
 * @returns {Promise<boolean>} whether it was saved
 */
export async function edit(resource, name, only) {
  const { type, title, confirm, fields } = FORMS[resource];
  const loaded = name ? await call("get", { path: federation(resource, name) }).catch((error) => error) : undefined;
  if (loaded instanceof Error) return dialog({ title: `Edit ${name}`, body: [h("p", `It cannot be read: ${loaded.message}.`)] });
  const spec = loaded?.body?.spec ?? {};
  /** @type {Record<string, any>} */
  const nodes = {};
  for (const each of fields) {
    const [key] = each;
    nodes[key] = node(each, key === "name" ? name : spec[key], Boolean(name) && (key === "name" || key === "resource"));
  }
  if (only) nodes.name.querySelector(".hint").textContent = `You may use ${only.join(", ")}.`;
  const result = h("div.tried", { role: "status" });

  const written = () => {
    /** @type {any} */
    const made = { ...spec };
    for (const [key, , , kind] of fields.slice(1)) {
      if (kind === "choices") {
        made[key] = nodes[key].chosen();
        continue;
      }
      const { value, checked } = nodes[key].control;
      const lines = value.split(/[\s,]+/).filter(Boolean);
      if (kind === "check") made[key] = checked || (spec[key] === undefined ? undefined : false);
      else if (kind === "number") made[key] = Number(value);
      else if (kind === "lines") made[key] = key === "url" ? lines.join(",") : lines;
      else made[key] = value.trim() || undefined;
    }
    return { type, api_version: "federation/v1", metadata: { ...loaded?.body?.metadata, name: nodes.name.control.value.trim() }, spec: made };
  };

  const test = h("button", { onclick: async () => {
    const object = written();
    if (place(nodes, object.metadata.name ? "" : NAMELESS)) return;
    test.disabled = true;
    replace(result, h("p.dim", "The gateway is trying to connect…"));
    try {
      const { body } = await call("get", { path: federation(resource, object.metadata.name, "test"), method: "POST", body: object });
      replace(result, tried(body));
      result.scrollIntoView({ block: "nearest" });
    } catch (error) {
      replace(result, h("p.field-error", place(nodes, /** @type {Error} */ (error).message)));
    } finally {
      test.disabled = false;
    }
  } }, "Test");

  return dialog({
    title: name ? `Edit ${name}` : title, confirm: name ? "Save" : confirm, body: [Object.values(nodes), result], extra: [test],
    act: async () => {
      const object = written();
      const target = { cluster: object.metadata.name, ns: "", name: object.metadata.name };
      if (!target.name) return place(nodes, NAMELESS);
      const [outcome] = await call("act", { action: "put", targets: [target], parameters: { resource, object, etag: loaded?.etag ?? "" } });
      if (!outcome.ok) return place(nodes, outcome.message);
      toast(`${target.name} is saved`);
      return undefined;
    },
  });
}

/** @param {any} report of the gateway, see docs/api.md */
function tried({ ok, backends, warnings }) {
  const down = backends.filter((/** @type {any} */ backend) => backend.state !== "up").length;
  return [
    h("p", h("strong", ok ? (backends.length ? "It works. " : "Nothing is wrong with it. ") : `${down} of ${plural(backends.length, "backend")} ${down === 1 ? "does" : "do"} not work. `), "Nothing was saved yet."),
    h("ul.plain", backends.map((/** @type {any} */ backend) => h("li", state(backend.state), " ", h("span", safe(backend.url, 300)), " ",
      backend.error ? h("span.field-error", safe(backend.error, 600))
        : h("span.dim", [backend.version && `version ${safe(backend.version, 64)}`, `${backend.latency_ms} ms`].filter(Boolean).join(", "))))),
    warnings.map((/** @type {string} */ warning) => h("p.card-warning", safe(warning, 400))),
  ];
}
