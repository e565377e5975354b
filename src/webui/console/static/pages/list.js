// The table of events, entities, checks or silences: filter, order, groups, columns, saved views, selection, actions.

import { h, icon, replace } from "../dom.js";
import { amend, current, entityPath, eventPath, go, page } from "../pages.js";
import { bar } from "../parts/charts.js";
import { ACTIONS, buttons, newSilence } from "../parts/actions.js";
import { COLUMNS, SHOWN } from "../parts/columns.js";
import { dialog, field, menu, opener } from "../parts/dialog.js";
import { asCsv, asJson } from "../parts/export.js";
import { filterBar } from "../parts/filterbar.js";
import { Table } from "../parts/table.js";
import { toast } from "../parts/toast.js";
import { SEVERITIES } from "../shared/records.js";
import { format, having, parse, PLACE, toggle } from "../shared/filter.js";
import { isText, keep, kept, listOf, UNKEPT } from "../shared/kept.js";
import { count, plural } from "../shared/text.js";

/** @typedef {keyof typeof COLUMNS} Kind */

const EXAMPLES = { events: "status:critical label.team:web since>1h text", entities: "class:agent platform:debian* text", checks: "publish:no handler:slack text", silences: "creator:admin expires<1h text" };
const GROUPS = {
  events: ["entity", "check", ...PLACE, "owner", "state"],
  entities: [...PLACE, "entityClass", "platform", "owner"],
  checks: [...PLACE, "name", "owner"],
  silences: [...PLACE, "creator", "subscription"],
};

/**
 * @param {Kind} kind
 * @param {import("../app.js").Context} context
 */
export function listPage(kind, context) {
  const noun = kind === "entities" ? "entity" : kind.slice(0, -1);
  const title = kind[0].toUpperCase() + kind.slice(1);
  let { query } = current();
  let drawn = "";
  /** @type {Set<string>} */
  const closed = new Set();
  const setting = (/** @type {string} */ name, /** @type {string} */ initial) => query.get(name) ?? initial;

  const columns = () => {
    const all = COLUMNS[kind];
    const ids = query.get("columns")?.split(",") ?? kept(`columns-${kind}`, listOf(isText)) ?? [];
    const chosen = all.filter(({ id }) => ids.includes(id));
    return chosen.length ? chosen : all.slice(0, SHOWN);
  };

  const filter = filterBar({ kind, value: setting("q", ""), example: EXAMPLES[kind], onchange: (text) => amend({ q: text || undefined }) });
  const summary = h("div.summary");
  const actions = h("div.actions", { role: "toolbar", "aria-label": "Actions" });
  const table = new Table({
    kind,
    label: title,
    columns,
    query: () => ({ filter: setting("q", ""), sort: setting("sort", kind === "silences" ? "expires" : "severity"), group: setting("group", ""), closed: [...closed] }),
    onsort: (sort) => amend({ sort }),
    onopen: (row) => open(row),
    ongroup: (group) => {
      if (closed.has(group.label)) closed.delete(group.label);
      else closed.add(group.label);
      table.ask();
    },
    onchange: () => update(),
    empty: (last) => empty(last),
  });

  /** @param {any} row */
  function open(row) {
    if (kind === "events") go(eventPath(row));
    else if (kind === "entities") go(entityPath(row));
    else if (kind === "checks") go(page("events", { q: having({ cluster: row.cluster, namespace: row.namespace, check: row.name }) }));
    else table.toggle(row);
  }

  /** Never an empty table that means "could not ask". @param {any} last */
  function empty(last) {
    const failed = context.state().problems.filter((/** @type {any} */ problem) => problem.kinds.includes(kind));
    if (last.loading) return h("p", "Reading from the clusters…");
    const parts = [];
    if (failed.length) {
      parts.push(h("p", h("strong", `Nothing could be read from ${failed.map((/** @type {any} */ problem) => problem.cluster).join(", ")}.`)));
    }
    if (last.all) {
      parts.push(h("p", `None of the ${plural(last.all, "row")} matches the filter.`),
        h("button", { onclick: () => amend({ q: undefined }) }, "Show all"));
    } else if (!failed.length) parts.push(h("p", `There are no ${kind} in any cluster that you may read.`));
    else parts.push(h("p", `The other clusters have no ${kind}.`));
    return parts;
  }

  function update() {
    const { matched, all, counts, errors, loading } = table.last;
    filter.say(errors);
    drawScope();
    const rows = [...table.selected.values()];
    // Buttons are made again only when something changed, so that a click is never lost.
    const state = JSON.stringify([matched, all, counts, loading, rows.map((row) => row.key), context.state().problems.length]);
    if (state === drawn) return;
    drawn = state;
    replace(summary,
      h("span", matched === all ? "" : `${count(matched)} of `, plural(all, noun, kind)),
      loading && h("span.dim", " reading…"),
      kind !== "silences" && [bar(counts), ...SEVERITIES.map((name, at) => h("button", {
        class: `chip ${name}`, "aria-pressed": String(setting("q", "").includes(`status:${name}`)),
        onclick: () => amend({ q: toggle(setting("q", ""), "status", name) || undefined }),
      }, icon(name), `${count(counts[at])} ${name}`))]);
    replace(actions, rows.length > 0 ? h("strong", `${count(rows.length)} selected`) : h("span.hint", "Select rows to"), buttons(kind, rows, () => {
      table.selected.clear();
      table.draw();
      update();
    }));
  }

  // === toolbar ===

  const scope = h("select", { onchange() {
    const [cluster, namespace] = JSON.parse(scope.value);
    const terms = parse(setting("q", "")).terms.filter(({ key }) => !PLACE.includes(key));
    const term = (/** @type {string} */ key, /** @type {string} */ value) => value && terms.push({ key, operator: ":", values: [value], negated: false });
    term("cluster", cluster);
    term("namespace", namespace);
    amend({ q: format(terms) || undefined });
  } });
  let scopes = "";

  /** The namespaces of each cluster, and which of them the filter chooses. */
  function drawScope() {
    const { status, namespaces } = context.state();
    const terms = parse(setting("q", "")).terms.filter(({ key }) => PLACE.includes(key));
    const simple = terms.every(({ negated, values }) => !negated && values.length === 1);
    const [cluster, namespace] = PLACE.map((key) => (simple ? terms.find((term) => term.key === key)?.values[0] : undefined) ?? "");
    const chosen = JSON.stringify([cluster, namespace]);
    const names = (status?.clusters ?? []).map((/** @type {any} */ { name }) => name);
    const next = JSON.stringify([chosen, simple, names, namespaces]);
    if (next === scopes) return;
    scopes = next;
    const option = (/** @type {string[]} */ value, /** @type {string} */ text) => h("option", { value: JSON.stringify(value), selected: JSON.stringify(value) === chosen }, text);
    replace(scope, !simple && h("option", { value: chosen, selected: true }, "as the filter says"), option(["", ""], "all clusters"), namespace && !cluster && option(["", namespace], `${namespace} of all clusters`), names.map((/** @type {string} */ name) => h("optgroup", { label: name }, option([name, ""], `all of ${name}`),
      namespaces.filter((/** @type {any} */ each) => each.cluster === name).map((/** @type {any} */ each) => option([name, each.name], `${each.name} of ${name}`)))));
  }

  const groups = h("select", { onchange: () => (groups.value === "other" ? void askLabel() : amend({ group: groups.value || undefined })) });

  function drawGroups() {
    const now = setting("group", "");
    replace(groups, [...new Set(["", ...GROUPS[kind], "label.team", now])].map((value) => h("option", { value, selected: value === now }, value ? `by ${value === "entityClass" ? "class" : value}` : "none")),
      h("option", { value: "other" }, "by label…"));
  }

  const tools = h("div.tools",
    kind === "silences" && h("button.primary", { onclick: () => newSilence(context.state().namespaces, context.state().unlisted) }, "New silence"),
    h("label.inline", "In ", scope), h("label.inline", "Group ", groups),
    opener("button", "Columns", chooseColumns), opener("button", "Views", chooseView), opener("button", "Export", chooseExport));

  async function askLabel() {
    const name = h("input", { placeholder: "team" });
    const said = await dialog({ title: "Group by a label", confirm: "Group", body: [field("Label", name)],
      act: () => (name.value.trim() ? undefined : "Name a label.") });
    amend({ group: said ? `label.${name.value.trim()}` : setting("group", "") || undefined });
  }

  /** @param {HTMLElement} anchor */
  function chooseColumns(anchor) {
    menu(anchor, COLUMNS[kind].map(({ id, title }) => ({
      label: title,
      checked: columns().some((column) => column.id === id),
      run: () => {
        const ids = columns().map((column) => column.id);
        const next = ids.includes(id) ? ids.filter((other) => other !== id) : [...ids, id];
        if (!next.length) return;
        store(`columns-${kind}`, next);
        amend({ columns: undefined });
        table.columns();
      },
    })), { keep: true });
  }

  /** @param {HTMLElement} anchor */
  function chooseView(anchor) {
    /** @type {{name: string, search: string}[]} */
    const views = kept(`views-${kind}`, listOf(isView)) ?? [];
    menu(anchor, [
      ...views.map(({ name, search }) => ({ label: name, run: () => go(`${page(kind)}${search}`) })),
      { label: "Save this view…", run: () => void saveView(views) },
      ...views.map(({ name }) => ({ label: `Forget "${name}"`, run: () => store(`views-${kind}`, views.filter((view) => view.name !== name)) })),
      { label: "Copy a link to it", run: () => void copyLink() },
    ]);
  }

  /** The present address, with the columns that are shown. */
  function shareable() {
    const url = new URL(location.href);
    url.searchParams.set("columns", columns().map(({ id }) => id).join(","));
    return url;
  }

  async function copyLink() {
    const { href } = shareable();
    try {
      await navigator.clipboard.writeText(href);
      toast("The link is in the clipboard");
    } catch {
      await dialog({ title: "A link to this view", body: [field("Link", h("input", { readonly: true, value: href }))] });
    }
  }

  /** @param {{name: string, search: string}[]} views */
  async function saveView(views) {
    const name = h("input", { maxlength: 60 });
    await dialog({
      title: "Save this view", confirm: "Save", body: [field("Name", name, "Kept in this browser.")],
      act: () => {
        const text = name.value.trim();
        if (!text) return "Give it a name.";
        store(`views-${kind}`, [...views.filter((view) => view.name !== text), { name: text, search: shareable().search }]);
        return undefined;
      },
    });
  }

  /** @param {HTMLElement} anchor */
  function chooseExport(anchor) {
    menu(anchor, [
      { label: "CSV, as shown", run: async () => asCsv(kind, columns(), await table.everything()) },
      { label: "JSON", run: async () => asJson(kind, await table.everything()) },
    ]);
  }

  const node = h("section.page.list", { "aria-label": title },
    h("header.page-head", h("h1", title), summary), h("div.bar-row", filter, tools), actions, table.node);
  drawGroups();
  update();
  table.ask();

  return {
    node,
    title,
    kinds: kind === "events" ? ["events"] : kind === "silences" ? ["silences", "events"] : [kind, "events"],
    close: () => table.close(),
    state: () => {
      drawn = "";
      update();
      if (!table.last.total) table.draw();
    },
    navigated() {
      ({ query } = current());
      filter.set(setting("q", ""));
      drawGroups();
      table.selected.clear();
      table.columns();
      table.reset();
      drawn = "";
    },
    /** @param {string} key */
    key(key) {
      const action = ACTIONS[kind].find((candidate) => candidate.key === key);
      if (key === "/") filter.focus();
      else if (key === "j" || key === "ArrowDown") table.move(1);
      else if (key === "k" || key === "ArrowUp") table.move(-1);
      else if (key === "PageDown") table.move(15);
      else if (key === "PageUp") table.move(-15);
      else if (key === "x" || key === " ") {
        const row = table.current();
        if (row) table.toggle(row);
      } else if (key === "a") void table.selectAll();
      else if (key === "Enter") {
        const row = table.current();
        if (row) open(row);
      } else if (action) {
        void table.chosen().then((rows) => rows.length && action.run(rows));
      } else return false;
      return true;
    },
  };
}

/** @param {string} name @param {unknown} value */
const store = (name, value) => keep(name, value) || toast(UNKEPT, { kind: "error" });

/** @param {any} view */
const isView = ({ name, search }) => isText(name) && /^\?|^$/.test(search);
