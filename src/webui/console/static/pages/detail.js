// One event, and one entity with all its events.

import { h, replace } from "../dom.js";
import { call, view } from "../engine.js";
import { path } from "../engine/client.js";
import { current, entityPath, eventPath, page } from "../pages.js";
import { ACTIONS, buttons } from "../parts/actions.js";
import { badge, fact, history, when } from "../parts/charts.js";
import { entityRow, eventRow } from "../shared/records.js";
import { having } from "../shared/filter.js";
import { count, explain, line, link, safe, string } from "../shared/text.js";
import { duration } from "../shared/time.js";

/** Characters of a check's output that are shown at once; more on demand. */
const OUTPUT = 20_000;

/**
 * The frame of both pages: loads the object, and again when its list changes.
 * @param {"events" | "entities"} kind
 * @param {string} missing
 * @param {(place: Record<string, string>) => {title: string, address: string, filter: string, lists: ReturnType<typeof aside>[]}} begin
 * @param {(object: any, place: Record<string, string>, row: any, lists: ReturnType<typeof aside>[]) => {main: any[], side: any[]}} draw
 */
function objectPage(kind, missing, begin, draw) {
  const { query } = current();
  const place = Object.fromEntries(["ns", "name", "entity", "check", "cluster"].map((name) => [name, query.get(name) ?? ""]));
  const { title, address, filter, lists } = begin(place);
  /** @type {any} */
  let row;
  let shown = "";
  let busy = false;
  const actions = h("div.actions", { role: "toolbar", "aria-label": "Actions" });
  const note = h("p.form-error", { role: "alert" });
  const body = h("div.detail", h("p.dim", "Reading…"));
  const side = h("div.detail");

  const load = async () => {
    if (busy) return;
    busy = true;
    try {
      const { body: object } = await call("get", { path: address });
      note.textContent = "";
      const text = JSON.stringify(object);
      if (text === shown) return;
      shown = text;
      row = (kind === "events" ? eventRow : entityRow)(object, place.cluster) ?? row;
      if (row) row.ns = place.ns;
      replace(actions, buttons(kind, row ? [row] : [], () => void load()), h("a.button", { href: page("events", { q: filter }) }, "Its events in the table"));
      const parts = draw(object, place, row, lists);
      replace(body, parts.main);
      replace(side, parts.side, raw(object));
    } catch (error) {
      const { status, message } = /** @type {any} */ (error);
      if (status === 404) {
        shown = "";
        replace(side);
        replace(body, h("p.blank", missing));
      } else {
        note.textContent = `${shown ? "What is shown may be old" : "It cannot be read"}: ${message}`;
        if (!shown) replace(body, h("button", { onclick: () => void load() }, "Try again"));
      }
    } finally {
      busy = false;
    }
  };

  const subscription = view(() => void load());
  subscription.ask({ kind, query: { filter: kind === "events" ? `${filter} ${having({ check: place.check })}` : filter, sort: "severity", group: "", closed: [] }, from: 0, to: 1 });
  void load();
  const { cluster, namespace } = home(place);
  return {
    node: h("section.page", { "aria-label": kind === "events" ? "Event" : "Entity" },
      h("header", h("p.crumbs", h("a", { href: page("events", { q: having({ cluster }) }) }, cluster), " / ", h("a", { href: page("events", { q: having({ cluster, namespace }) }) }, namespace)), h("h1", title)),
      note, actions, h("div.columns", kind === "events" ? [body, h("div", lists.map(({ node }) => node), side)] : [h("div", lists.map(({ node }) => node)), h("div", body, side)])),
    title,
    kinds: ["events", "silences", kind],
    close() {
      subscription.close();
      for (const list of lists) list.close();
    },
    state: () => undefined,
    key(/** @type {string} */ key) {
      const action = ACTIONS[kind].find((candidate) => candidate.key === key);
      if (!action || !row) return false;
      void action.run([row]);
      return true;
    },
  };
}

/** Where an object is, as filters name it. @param {Record<string, string>} place */
const home = ({ cluster, ns }) => ({ cluster, namespace: ns.split("@")[0] });

/** @param {Record<string, string>} place @param {string} entity */
const filterOf = (place, entity) => having({ ...home(place), entity });

/**
 * A short list beside the object, kept up to date.
 * @param {import("../app.js").Context} context
 * @param {"events" | "silences"} kind
 * @param {string} cluster
 * @param {string} filter
 * @param {string} title
 * @param {(row: any) => any} item
 */
function aside(context, kind, cluster, filter, title, item) {
  const node = h("div.panel");
  const rows = view((message) => {
    const problem = context.state().problems.find((/** @type {any} */ candidate) => candidate.cluster === cluster && candidate.kinds.includes(kind));
    replace(node, h("h2", message.matched ? `${title} (${count(message.matched)})` : title), message.rows.length ? h("ol.lines", message.rows.map(item))
      : h("p.dim", message.loading ? "Reading…" : problem ? `They could not be read: ${explain(problem.error, problem.message)}.` : "None."));
  });
  const ask = (/** @type {string} */ text) => {
    node.hidden = !text;
    if (text) rows.ask({ kind, query: { filter: text, sort: "severity", group: "", closed: [] }, from: 0, to: 200 });
  };
  ask(filter);
  return { node, ask, close: rows.close };
}

/** @param {any} silence */
const silenceLine = (silence) => h("li", h("span.what", h("strong", silence.name), h("span.output", silence.reason || "no reason given", silence.creator && ` · ${silence.creator}`)),
  h("span.side", h("span", silence.expires ? ["ends ", when(silence.expires)] : silence.onResolve ? "until resolved" : "no end"), buttons("silences", [silence])));

/** @param {any} event */
const eventLine = (event) => h("li", badge(event.status),
  h("span.what", h("a", { href: eventPath(event) }, line(event.check, 120)), event.silenced.length > 0 && h("span", h("span.tag", "silenced")), h("span.output", event.output)),
  h("span.side", history(event.history, event.executed), when(event.time)));

/** @param {import("../app.js").Context} context */
export const eventPage = (context) => objectPage("events", "There is no such event: it was deleted, or its check has not run yet.", (place) => {
  const { entity, check, cluster, ns } = place;
  const silences = aside(context, "silences", cluster, "", "Silenced by", silenceLine);
  return { title: `${line(entity, 120)} / ${line(check, 120)}`, address: path(ns, "events", entity, check), filter: filterOf(place, entity), lists: [silences] };
}, (event, place, row, [silences]) => {
  const { check = {}, entity = {} } = event;
  const names = row?.silenced ?? [];
  silences.ask(names.length ? having({ ...home(place), name: names }) : "");
  return {
    main: [
      h("div.lead", badge(row?.status ?? 3), row?.status ? h("span", "since ", when(row.since)) : undefined, row && history(row.history, row.executed),
        row?.silenced?.length > 0 && h("span.tag", `silenced by ${row.silenced.join(", ")}`)),
      output(check.output),
      h("div.panel", facts([
        ["Entity", h("a", { href: entityPath(row ?? {}) }, line(row?.entity, 200))],
        ["Last result", when(row?.time ?? 0)], ["Last passing", when(check.last_ok)], ["Occurrences", check.occurrences],
        ["State", check.state], ["Schedule", check.cron || (check.interval ? `every ${duration(check.interval)}` : "")], ["Took", typeof check.duration === "number" ? `${check.duration.toFixed(3)} s` : ""],
        ["Subscriptions", check.subscriptions], ["Handlers", check.handlers], ["Run by", check.processed_by], ["Issued by", check.metadata?.created_by],
        ["Command", check.command && h("code", safe(check.command, 2000))],
      ])),
    ],
    side: [
      pairs("Labels of the check", check.metadata?.labels), pairs("Annotations of the check", check.metadata?.annotations),
      pairs("Labels of the entity", entity.metadata?.labels), pairs("Annotations of the entity", entity.metadata?.annotations),
    ],
  };
});

/** @param {import("../app.js").Context} context */
export const entityPage = (context) => objectPage("entities", "There is no such entity: it was deleted, or its agent has not registered yet.", (place) => {
  const { name, cluster, ns } = place;
  const filter = filterOf(place, name);
  const events = aside(context, "events", cluster, filter, "Events", eventLine);
  const silences = aside(context, "silences", cluster, having({ ...home(place), subscription: `entity:${name}` }), "Silences", silenceLine);
  return { title: line(name, 120), address: path(ns, "entities", name), filter, lists: [events, silences] };
}, (entity) => {
  const system = entity.system ?? {};
  return {
    main: [h("div.panel", facts([
      ["Class", entity.entity_class], ["Last seen", when(entity.last_seen)], ["Agent", entity.sensu_agent_version], ["Host name", system.hostname],
      ["Platform", [system.platform, system.platform_version].filter(Boolean).join(" ") || system.os], ["Architecture", system.arch],
      ["Addresses", system.network?.interfaces?.flatMap((/** @type {any} */ port) => port?.addresses ?? [])], ["Subscriptions", entity.subscriptions], ["User", entity.user],
    ]))],
    side: [pairs("Labels", entity.metadata?.labels), pairs("Annotations", entity.metadata?.annotations)],
  };
});

/** @param {unknown} value */
function output(value) {
  const text = string(value);
  if (!text) return h("p.dim", "The check said nothing.");
  const pre = h("pre.output", { tabindex: 0, "aria-label": "Output" }, safe(text, OUTPUT));
  if (text.length <= OUTPUT) return pre;
  const more = h("button", { onclick: () => {
    pre.textContent = safe(text);
    more.remove();
  } }, `Show all ${count(Math.ceil(text.length / 1000))} kB`);
  return h("div", pre, more);
}

/** @param {[string, any][]} entries */
const facts = (entries) => h("dl.facts.wide", entries.map(([name, value]) => [name, Array.isArray(value) ? value.map(String).join(", ") : value])
  .filter(([, value]) => value !== undefined && value !== "" && value !== null)
  .map(([name, value]) => fact(safe(name, 200), value instanceof Node ? value : safe(value, 2000))));

/**
 * Labels or annotations; only what is a web address becomes a link.
 * @param {string} title
 * @param {any} values
 */
function pairs(title, values) {
  const entries = Object.entries(values && typeof values === "object" ? values : {}).slice(0, 200);
  return entries.length > 0 && h("section.panel", h("h2", title), facts(entries.map(([name, value]) => {
    const href = link(value);
    return [name, href ? h("a", { href, rel: "noopener noreferrer", target: "_blank", referrerpolicy: "no-referrer" }, safe(value, 400)) : value];
  })));
}

/** @param {any} object */
function raw(object) {
  const details = h("details.panel", h("summary", "As JSON"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(h("pre.output", { tabindex: 0, "aria-label": "JSON" }, safe(JSON.stringify(object, null, 2), 200_000)));
  });
  return details;
}
