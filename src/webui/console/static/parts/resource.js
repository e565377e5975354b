// The form of a cluster or a replicator: loaded, tested, saved, with the server's words beside the field that they are about.

import { h, replace } from "../dom.js";
import { call } from "../engine.js";
import { FEDERATION } from "../engine/client.js";
import { state } from "./charts.js";
import { dialog, field } from "./dialog.js";
import { toast } from "./toast.js";
import { plural, safe } from "../shared/text.js";

/** @typedef {[key: string, label: string, hint?: string, kind?: "lines" | "check" | "number" | string[]]} Field */

/** @type {Field[]} */
const TLS = [
  ["ca_cert", "CA certificate", "A path on the gateway's machine. Empty: the system's certificates."],
  ["cert", "Client certificate", "A path on the gateway's machine, if a client certificate is wanted."],
  ["key", "Its key", "A path on the gateway's machine."],
  ["insecure", "Accept any certificate", "Whoever is on the way can then read along.", "check"],
];
const RESOURCES = ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "Namespace", "User", "Asset", "CheckConfig", "Handler", "EventFilter", "Mutator", "HookConfig", "Pipeline"];

/** @type {Record<string, {type: string, title: string, confirm: string, fields: Field[]}>} */
const FORMS = {
  clusters: {
    type: "Cluster", title: "Register a cluster", confirm: "Register",
    fields: [["name", "Name", "Stands in the cluster column, and behind the @ of its namespaces."], ["api_urls", "API URLs", "One line for each backend, like https://sensu.example.com:8080", "lines"], ...TLS],
  },
  "etcd-replicators": {
    type: "EtcdReplicator", title: "New replicator", confirm: "Save",
    fields: [["name", "Name"], ["resource", "Copies", "One kind for each replicator; it cannot change later.", RESOURCES], ["namespace", "Namespace", "Empty: all."],
      ["url", "etcd of the other cluster", "One line for each endpoint, like https://10.0.0.1:2379", "lines"], ...TLS,
      ["replication_interval_seconds", "Compare everything every (seconds)", "Changes are copied at once; this undoes what was changed there.", "number"]],
  },
};

/**
 * Puts the server's words beside the field that they are about.
 * @param {Record<string, any>} nodes
 * @param {string} message
 * @returns {string | undefined} what belongs to no field
 */
function place(nodes, message) {
  for (const node of Object.values(nodes)) node.say("");
  // The longest name first: `api_version` is not `api`.
  const names = Object.keys(nodes).sort((a, b) => b.length - a.length);
  const name = message && names.find((candidate) => new RegExp(`(^|[^\\w])${candidate}([^\\w]|$)`).test(message));
  if (!name) return message || undefined;
  nodes[name].say(message);
  return "One field needs another value.";
}

/** @param {Field} field @param {any} spec @param {string} [name] of one that exists */
function control([key, , , kind], spec, name) {
  const value = spec[key];
  if (Array.isArray(kind)) return h("select", { disabled: Boolean(name) }, [...new Set([value ?? kind[0], ...kind])].map((text) => h("option", { value: text, selected: text === value }, text)));
  if (kind === "check") return h("input", { type: "checkbox", checked: value === true });
  if (kind === "lines") return h("textarea", { rows: 2, value: (Array.isArray(value) ? value : (value ?? "").split(",")).join("\n"), spellcheck: "false" });
  if (kind === "number") return h("input", { type: "number", min: 1, value: String(value ?? 30) });
  return h("input", { value: (key === "name" ? name : value) ?? "", readonly: key === "name" && Boolean(name), spellcheck: "false", autocapitalize: "none" });
}

/**
 * @param {string} resource
 * @param {string} [name] of one to change
 * @returns {Promise<boolean>} whether it was saved
 */
export async function edit(resource, name) {
  const { type, title, confirm, fields } = FORMS[resource];
  const loaded = name ? await call("get", { path: `${FEDERATION}/${resource}/${encodeURIComponent(name)}` }).catch((error) => error) : undefined;
  if (loaded instanceof Error) return dialog({ title: `Edit ${name}`, body: [h("p", `It cannot be read: ${loaded.message}.`)] });
  const spec = loaded?.body?.spec ?? {};
  /** @type {Record<string, any>} */
  const controls = {};
  /** @type {Record<string, any>} */
  const nodes = {};
  for (const each of fields) {
    const [key, label, hint] = each;
    controls[key] = control(each, spec, name);
    nodes[key] = field(label, controls[key], hint);
  }
  const result = h("div.tried", { role: "status" });

  const written = () => {
    /** @type {any} */
    const made = { ...spec };
    for (const [key, , , kind] of fields.slice(1)) {
      const { value, checked } = controls[key];
      const lines = value.split(/[\s,]+/).filter(Boolean);
      if (kind === "check") made[key] = checked || (spec[key] === undefined ? undefined : false);
      else if (kind === "number") made[key] = Number(value);
      else if (kind === "lines") made[key] = key === "url" ? lines.join(",") : lines;
      else made[key] = value.trim() || undefined;
    }
    return { type, api_version: "federation/v1", metadata: { ...loaded?.body?.metadata, name: controls.name.value.trim() }, spec: made };
  };

  const test = h("button", { onclick: async () => {
    const object = written();
    if (!object.metadata.name) return void place(nodes, "name is missing");
    place(nodes, "");
    test.disabled = true;
    replace(result, h("p.dim", "The gateway is trying to connect…"));
    try {
      const { body } = await call("get", { path: `${FEDERATION}/${resource}/${encodeURIComponent(object.metadata.name)}/test`, method: "POST", body: object });
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
      if (!target.name) return place(nodes, "name is missing");
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
    h("p", h("strong", ok ? "It works. " : `${down} of ${plural(backends.length, "backend")} ${down === 1 ? "does" : "do"} not work. `), "Nothing was saved yet."),
    h("ul.plain", backends.map((/** @type {any} */ backend) => h("li", state(backend.state), " ", h("span", safe(backend.url, 300)), " ",
      backend.error ? h("span.field-error", safe(backend.error, 600))
        : h("span.dim", [backend.version && `version ${safe(backend.version, 64)}`, `${backend.latency_ms} ms`].filter(Boolean).join(", "))))),
    warnings.map((/** @type {string} */ warning) => h("p.card-warning", safe(warning, 400))),
  ];
}
