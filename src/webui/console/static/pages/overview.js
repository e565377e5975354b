// What is broken, where, since when: the worst events, a card for each cluster, what changed.

import { h, replace } from "../dom.js";
import { view } from "../engine.js";
import { eventPath, page } from "../pages.js";
import { badge, bar, fact, history, lasting, oldest, sparkline, state, when } from "../parts/charts.js";
import { SEVERITIES } from "../shared/records.js";
import { having } from "../shared/filter.js";
import { count, explain, line, plural } from "../shared/text.js";

const KINDS = ["events", "entities"];
/** With more clusters than this, a card has only what is needed to choose one. */
const MANY = 6;

/** @param {import("../app.js").Context} context */
export function overviewPage(context) {
  /** @type {any} */
  let data;
  const totals = h("div.totals");
  const cards = h("ul.cards");
  const worst = h("div.panel");
  const changes = h("div.panel");
  const subscription = view(({ overview }) => {
    data = overview;
    draw();
  });

  const draw = () => {
    const { status, problems, gateway } = context.state();
    if (!data) return;
    const clusters = [...status?.clusters ?? []].sort((a, b) => Number(b.state === "down") - Number(a.state === "down"));
    const sum = SEVERITIES.map((_, at) => Object.values(data.clusters).reduce((total, /** @type {any} */ cluster) => total + cluster.counts[at], 0));
    const total = sum.reduce((all, each) => all + each, 0);
    const down = clusters.filter(({ state }) => state === "down").length;
    const unread = problems.length ? ` Not all clusters could be read: ${problems.map((/** @type {any} */ problem) => problem.cluster).join(", ")}.` : "";
    replace(totals,
      figure(clusters.length - down, `of ${plural(clusters.length, "cluster")} up`, down ? "critical" : "passing", page("clusters")),
      SEVERITIES.slice(0, 3).map((name, at) => figure(sum[at], name, sum[at] ? name : "passing", page("events", { q: `status:${name}` }))),
      figure(total, "events", "", page("events")),
      figure(Object.values(data.clusters).reduce((all, /** @type {any} */ cluster) => all + cluster.entities, 0), "entities", "", page("entities")),
      bar(sum));
    cards.classList.toggle("many", clusters.length > MANY);
    replace(cards, clusters.length ? clusters.map((cluster) => card(cluster, data.clusters[cluster.name], problems.find((/** @type {any} */ problem) => problem.cluster === cluster.name)))
      : h("li.blank", gateway.failing ? `The clusters are not known: ${gateway.trouble}.` : "Reading…"));
    const calm = data.loading ? "Reading…" : `${total ? "Nothing is broken that is not silenced." : "No events yet: no check has run."}${unread}`;
    replace(worst, h("h2", "Worst now"), data.worst.length ? h("ol.lines", data.worst.map(eventLine)) : h("p.blank", calm),
      data.incidents > data.worst.length && h("p", h("a", { href: page("events", { q: "status:incident silenced:no" }) }, `All ${plural(data.incidents, "incident")} that are not silenced`)));
    replace(changes, h("h2", "Changed in the last hour"), data.changes.length ? h("ol.lines", data.changes.map(changeLine)) : h("p.blank", data.loading ? "Reading…" : `Nothing changed.${unread}`),
      data.changed > data.changes.length && h("p", h("a", { href: page("events", { q: "changed<1h", sort: "changed" }) }, `All ${plural(data.changed, "change")}`)));
  };

  const node = h("section.page.overview", { "aria-label": "Overview" }, h("h1.hidden", "Overview"), totals,
    h("h2.hidden", "Clusters"), cards, h("div.columns", worst, changes));
  subscription.ask({ kind: "overview" });
  return { node, title: "Overview", kinds: KINDS, close: () => subscription.close(), state: draw };
}

/**
 * @param {number} value
 * @param {string} what
 * @param {string} name
 * @param {string} href
 */
const figure = (value, what, name, href) => h("a", { class: `figure ${name}`, href }, h("b", value), h("span", what));

/**
 * @param {any} cluster
 * @param {any} sums
 * @param {any} problem
 */
function card(cluster, sums, problem) {
  const counts = sums?.counts ?? [0, 0, 0, 0];
  const name = cluster.state === "up" && problem ? "degraded" : cluster.state;
  const cause = explain(problem?.error ?? cluster.error, problem?.message);
  const from = problem ? oldest(problem, KINDS) : 0;
  const filter = having({ cluster: cluster.name });
  return h("li", { class: `card ${name}` },
    h("header", h("h3", h("a", { href: page("events", { q: filter }) }, line(cluster.name, 120))), state(name)),
    h("p.dim", cluster.version ? `Sensu ${line(cluster.version, 40)} · ` : "", cluster.since ? [`${cluster.state} for `, lasting(Date.parse(cluster.since) / 1000)] : "not checked yet"),
    bar(counts),
    h("p.card-counts", SEVERITIES.slice(0, 3).map((severity, at) => counts[at] > 0 &&
      h("a", { class: `count-link ${severity}`, href: page("events", { q: `${filter} status:${severity}` }) }, `${count(counts[at])} ${severity}`)),
      !(counts[0] + counts[1] + counts[2]) && h("span.dim", cause && !counts[3] ? "not read" : !sums || sums.loading ? "reading…" : counts[3] ? "all passing" : "no events")),
    h("dl.facts", fact("Entities", sums?.entities ?? 0), fact("Silenced", sums?.silenced ?? 0), fact("Answers in", latency(cluster))),
    h("div.spark-box", h("span.dim", "Turned bad"), sparkline(sums?.spark ?? new Array(12).fill(0), "result that turned bad", "results that turned bad")),
    cause && h("p.card-error", `${cause}. `, from > 0 && ["What is shown is from ", when(from), ". "],
      h("a", { href: page("clusters") }, "Status")));
}

/** @param {any} cluster */
function latency(cluster) {
  const known = (cluster.backends ?? []).map((/** @type {any} */ backend) => backend.latency_ms).filter((/** @type {any} */ value) => typeof value === "number");
  return known.length ? `${Math.min(...known).toFixed(known[0] < 10 ? 1 : 0)} ms` : "–";
}

/** @param {any} row */
const what = (row) => [h("a", { href: eventPath(row) }, `${line(row.entity, 80)} / ${line(row.check, 80)}`), h("span.dim", `${line(row.cluster, 60)} / ${line(row.namespace, 60)}`)];

/** @param {any} row */
const eventLine = (row) => h("li", badge(row.status), h("span.what", what(row), h("span.output", row.output)),
  h("span.side", history(row.history, row.executed), when(row.since), row.owner && h("span.dim", row.owner)));

/** @param {any} row */
const changeLine = (row) => h("li", badge(row.status), h("span.what", what(row)), h("span.side", when(row.changed)));
