// One event, and one entity with all its events.

import { h, replace } from "../dom.js";
import { call, view } from "../engine.js";
import { path } from "../engine/client.js";
import { go, page } from "../pages.js";
import { ACTIONS, buttons } from "../parts/actions.js";
import { badge, history, when } from "../parts/charts.js";
import { eventRow, entityRow } from "../shared/records.js";
import { quote } from "../shared/filter.js";
import { line, link, safe } from "../shared/text.js";
import { duration } from "../shared/time.js";

/** Characters of a check's output that are shown at once; more on demand. */
const OUTPUT = 20_000;

/**
 * Loads one object, and again when its list changes.
 * @param {object} options
 * @param {() => string} options.address
 * @param {(body: any) => any[]} options.draw
 * @param {string} options.missing
 */
function loader({ address, draw, missing }) {
  const body = h("div", { class: "detail" }, h("p", { class: "dim" }, "Reading…"));
  const note = h("p", { class: "form-error", role: "alert" });
  let shown = "";
  let busy = false;
  const load = async () => {
    if (busy) return;
    busy = true;
    try {
      const answer = await call("get", { path: address() });
      note.textContent = "";
      const text = JSON.stringify(answer.body);
      if (text !== shown) replace(body, draw(answer.body));
      shown = text;
    } catch (error) {
      const { status, message } = /** @type {any} */ (error);
      if (status === 404) {
        shown = "";
        replace(body, h("p", null, missing));
      } else note.textContent = shown ? `What is shown may be old: ${message}` : `It cannot be read: ${message}`;
      if (!shown && status !== 404) replace(body, h("button", { type: "button", onclick: () => void load() }, "Try again"));
    } finally {
      busy = false;
    }
  };
  return { body, note, load };
}

/** @param {import("../app.js").Context} context */
export function eventPage(context) {
  const query = new URLSearchParams(location.search);
  const [ns, entity, check, cluster] = ["ns", "entity", "check", "cluster"].map((name) => query.get(name) ?? "");
  /** @type {any} */
  let row;
  const actions = h("div", { class: "actions", role: "toolbar", "aria-label": "Actions" });
  const { body, note, load } = loader({
    address: () => path(ns, "events", entity, check),
    missing: "There is no such event: it was deleted, or its check has not run yet.",
    draw: (event) => {
      row = eventRow(event, cluster) ?? row;
      if (row) row.ns = ns;
      replace(actions, buttons("events", row ? [row] : [], () => void load()));
      return drawEvent(event, row, ns);
    },
  });
  const subscription = view(() => void load());
  subscription.ask({ kind: "events", query: exact({ cluster, entity, check, ns }), from: 0, to: 1 });
  void load();
  return {
    node: h("section", { class: "page", "aria-label": "Event" },
      h("header", { class: "page-head" }, h("h1", { dir: "auto" }, `${line(entity, 120)} / ${line(check, 120)}`), crumbs(cluster, ns)), note, actions, body),
    title: `${entity} / ${check}`,
    kinds: ["events"],
    close: () => subscription.close(),
    state: () => void context,
    key: (/** @type {string} */ key) => press("events", key, row),
  };
}

/** @param {string} kind @param {string} key @param {any} row */
function press(kind, key, row) {
  const action = ACTIONS[kind].find((candidate) => candidate.key === key);
  if (!action || !row) return false;
  void action.run([row]);
  return true;
}

/** @param {{cluster: string, entity: string, check?: string, ns: string}} place */
function exact({ cluster, entity, check, ns }) {
  const terms = [`cluster:${quote(cluster)}`, `namespace:${quote(ns.split("@")[0])}`, `entity:${quote(entity)}`];
  if (check) terms.push(`check:${quote(check)}`);
  return { filter: terms.join(" "), sort: "severity", group: "", closed: [] };
}

/** @param {string} cluster @param {string} ns */
const crumbs = (cluster, ns) => h("p", { class: "crumbs" },
  h("a", { href: page("events", { q: `cluster:${quote(cluster)}` }) }, cluster), " / ",
  h("a", { href: page("events", { q: `cluster:${quote(cluster)} namespace:${quote(ns.split("@")[0])}` }) }, ns.split("@")[0]));

/** @param {any} event @param {any} row @param {string} ns */
function drawEvent(event, row, ns) {
  const check = event.check ?? {};
  const entity = event.entity ?? {};
  return [
    h("div", { class: "lead" }, badge(row?.status ?? 3), row?.silenced?.length > 0 && h("span", { class: "tag" }, `silenced by ${row.silenced.join(", ")}`),
      row && history(row.history, row.executed), row?.status ? h("span", null, "since ", when(row.since)) : undefined),
    output(check.output),
    facts([
      ["Entity", h("a", { dir: "auto", href: page("entity", { ns, name: row?.entity, cluster: row?.cluster }) }, line(row?.entity, 200))],
      ["Last result", when(row?.time ?? 0)], ["Last passing", when(check.last_ok)], ["Occurrences", String(check.occurrences ?? "–")],
      ["State", check.state], ["Command", check.command && h("code", { dir: "auto" }, safe(check.command, 2000))],
      ["Schedule", check.cron || (check.interval ? `every ${duration(check.interval)}` : "")], ["Took", typeof check.duration === "number" ? `${check.duration.toFixed(3)} s` : ""],
      ["Subscriptions", list(check.subscriptions)], ["Handlers", list(check.handlers)], ["Run by", check.processed_by], ["Issued by", check.metadata?.created_by],
    ]),
    pairs("Labels of the check", check.metadata?.labels), pairs("Annotations of the check", check.metadata?.annotations),
    pairs("Labels of the entity", entity.metadata?.labels), pairs("Annotations of the entity", entity.metadata?.annotations),
    raw(event),
  ];
}

/** @param {unknown} value */
function output(value) {
  const text = typeof value === "string" ? value : "";
  if (!text) return h("p", { class: "dim" }, "The check said nothing.");
  const pre = h("pre", { class: "output", dir: "auto", tabindex: 0, "aria-label": "Output" }, safe(text, OUTPUT));
  if (text.length <= OUTPUT) return pre;
  const more = h("button", { type: "button", onclick: () => {
    pre.textContent = safe(text);
    more.remove();
  } }, `Show all ${Math.ceil(text.length / 1000).toLocaleString()} kB`);
  return h("div", null, pre, more);
}

/** @param {unknown} value */
const list = (value) => (Array.isArray(value) ? value.map(String).join(", ") : "");

/** @param {[string, any][]} entries */
function facts(entries) {
  return h("dl", { class: "facts wide" }, entries.filter(([, value]) => value !== undefined && value !== "" && value !== null)
    .map(([name, value]) => h("div", null, h("dt", null, name), h("dd", { dir: "auto" }, value instanceof Node ? value : safe(value, 2000)))));
}

/**
 * Labels or annotations; only what is a web address becomes a link.
 * @param {string} title
 * @param {any} values
 */
function pairs(title, values) {
  const entries = Object.entries(values && typeof values === "object" ? values : {});
  if (!entries.length) return undefined;
  return h("section", { class: "panel" }, h("h2", null, title), h("dl", { class: "facts wide" }, entries.slice(0, 200).map(([name, value]) => {
    const href = link(value);
    return h("div", null, h("dt", { dir: "auto" }, safe(name, 200)), h("dd", { dir: "auto" },
      href ? h("a", { href, rel: "noopener noreferrer", target: "_blank", referrerpolicy: "no-referrer" }, safe(value, 400)) : safe(value, 2000)));
  })));
}

/** @param {any} object */
function raw(object) {
  const details = h("details", { class: "panel" }, h("summary", null, "As JSON"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(h("pre", { class: "output", tabindex: 0, "aria-label": "JSON" }, safe(JSON.stringify(object, null, 2), 200_000)));
  });
  return details;
}

/** @param {import("../app.js").Context} context */
export function entityPage(context) {
  const query = new URLSearchParams(location.search);
  const [ns, name, cluster] = ["ns", "name", "cluster"].map((key) => query.get(key) ?? "");
  const place = exact({ cluster, entity: name, ns });
  /** @type {any} */
  let row;
  const actions = h("div", { class: "actions", role: "toolbar", "aria-label": "Actions" });
  const events = h("div", { class: "panel" });
  const silences = h("div", { class: "panel" });
  const { body, note, load } = loader({
    address: () => path(ns, "entities", name),
    missing: "There is no such entity: it was deleted, or its agent has not registered yet.",
    draw: (entity) => {
      row = entityRow(entity, cluster) ?? row;
      if (row) row.ns = ns;
      replace(actions, buttons("entities", row ? [row] : [], () => void load()),
        h("button", { type: "button", onclick: () => go(page("events", { q: place.filter })) }, "Its events in the table"));
      const system = entity.system ?? {};
      return [
        facts([
          ["Class", entity.entity_class], ["Last seen", when(entity.last_seen)], ["Agent", entity.sensu_agent_version],
          ["Host name", system.hostname], ["Platform", [system.platform, system.platform_version].filter(Boolean).join(" ") || system.os], ["Architecture", system.arch],
          ["Addresses", list(system.network?.interfaces?.flatMap((/** @type {any} */ port) => port?.addresses ?? []))], ["Subscriptions", list(entity.subscriptions)], ["User", entity.user],
        ]),
        pairs("Labels", entity.metadata?.labels), pairs("Annotations", entity.metadata?.annotations), raw(entity),
      ];
    },
  });
  const ofEvents = view((message) => {
    replace(events, h("h2", null, `Events (${message.matched.toLocaleString()})`),
      message.rows.length ? h("ol", { class: "lines" }, message.rows.map((/** @type {any} */ event) => h("li", null, badge(event.status),
        h("span", { class: "what" }, h("a", { dir: "auto", href: page("event", { ns: event.ns, entity: event.entity, check: event.check, cluster: event.cluster }) }, line(event.check, 120)),
          event.silenced.length > 0 && h("span", { class: "tag" }, "silenced"), h("span", { class: "output", dir: "auto" }, event.output)),
        h("span", { class: "side" }, history(event.history, event.executed), when(event.time)))))
        : h("p", { class: "dim" }, message.loading ? "Reading…" : unread(context, cluster, "events") ?? "No events."));
  });
  const ofSilences = view((message) => {
    replace(silences, h("h2", null, "Silences"), message.rows.length ? h("ul", { class: "lines" }, message.rows.map((/** @type {any} */ silence) => h("li", null,
      h("span", { class: "what" }, h("strong", { dir: "auto" }, silence.name), h("span", { class: "output", dir: "auto" }, silence.reason)),
      h("span", { class: "side" }, silence.expires ? when(silence.expires) : "no end", buttons("silences", [silence])))))
      : h("p", { class: "dim" }, message.loading ? "Reading…" : unread(context, cluster, "silences") ?? "None for this entity."));
  });
  ofEvents.ask({ kind: "events", query: place, from: 0, to: 200 });
  ofSilences.ask({ kind: "silences", query: { ...place, filter: `cluster:${quote(cluster)} namespace:${quote(ns.split("@")[0])} subscription:${quote(`entity:${name}`)}` }, from: 0, to: 50 });
  void load();
  return {
    node: h("section", { class: "page", "aria-label": "Entity" },
      h("header", { class: "page-head" }, h("h1", { dir: "auto" }, line(name, 120)), crumbs(cluster, ns)), note, actions, h("div", { class: "columns" }, events, h("div", null, silences, body))),
    title: name,
    kinds: ["events", "entities", "silences"],
    close() {
      ofEvents.close();
      ofSilences.close();
    },
    state: () => undefined,
    key: (/** @type {string} */ key) => press("entities", key, row),
  };
}

/**
 * Why a list is empty, when it could not be read.
 * @param {import("../app.js").Context} context
 * @param {string} cluster
 * @param {string} kind
 */
function unread(context, cluster, kind) {
  const problem = context.state().problems.find((/** @type {any} */ candidate) => candidate.cluster === cluster && candidate.kinds.includes(kind));
  return problem ? `They could not be read: ${problem.message || problem.error}.` : undefined;
}
