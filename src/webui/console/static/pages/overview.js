// What is broken, where, since when: a card for each cluster, the worst events, what changed.

import { h, replace } from "../dom.js";
import { view } from "../engine.js";
import { page } from "../pages.js";
import { badge, bar, history, sparkline, when } from "../parts/charts.js";
import { SEVERITIES } from "../shared/records.js";
import { line, plural } from "../shared/text.js";
import { CAUSES } from "../engine/client.js";

/** @param {import("../app.js").Context} context */
export function overviewPage(context) {
  /** @type {any} */
  let data;
  const totals = h("div", { class: "totals" });
  const cards = h("ul", { class: "cards" });
  const worst = h("div", { class: "panel" });
  const changes = h("div", { class: "panel" });
  const subscription = view(({ overview }) => {
    data = overview;
    draw();
  });

  const draw = () => {
    const { status, problems } = context.state();
    const clusters = status?.clusters ?? [];
    if (!data) return;
    const sum = SEVERITIES.map((_, at) => Object.values(data.clusters).reduce((total, /** @type {any} */ cluster) => total + cluster.counts[at], 0));
    const total = sum.reduce((all, count) => all + count, 0);
    const down = clusters.filter((/** @type {any} */ cluster) => cluster.state === "down").length;
    replace(totals,
      figure(clusters.length - down, `of ${plural(clusters.length, "cluster")} up`, down ? "critical" : "passing", page("clusters")),
      figure(sum[0], "critical", sum[0] ? "critical" : "passing", page("events", { q: "status:critical" })),
      figure(sum[1], "warning", sum[1] ? "warning" : "passing", page("events", { q: "status:warning" })),
      figure(sum[2], "unknown", sum[2] ? "unknown" : "passing", page("events", { q: "status:unknown" })),
      figure(total, "events", "", page("events")),
      figure(Object.values(data.clusters).reduce((all, /** @type {any} */ cluster) => all + cluster.entities, 0), "entities", "", page("entities")));
    replace(cards, clusters.map((/** @type {any} */ cluster) =>
      card(cluster, data.clusters[cluster.name], problems.find((/** @type {any} */ problem) => problem.cluster === cluster.name))));
    replace(worst, h("h2", null, "Worst now"), data.worst.length ? h("ol", { class: "lines" }, data.worst.map(eventLine))
      : h("p", { class: "dim" }, total ? "Nothing is broken that is not silenced." : "No events yet."),
      data.incidents > data.worst.length && h("p", null, h("a", { href: page("events", { q: "status:incident silenced:no" }) }, `All ${plural(data.incidents, "incident")} that are not silenced`)));
    replace(changes, h("h2", null, "Changed in the last hour"), data.changes.length ? h("ol", { class: "lines" }, data.changes.map(changeLine))
      : h("p", { class: "dim" }, "Nothing changed."),
      data.changed > data.changes.length && h("p", null, h("a", { href: page("events", { q: "changed<1h", sort: "changed" }) }, `All ${plural(data.changed, "change")}`)));
  };

  const node = h("section", { class: "page overview", "aria-label": "Overview" }, h("h1", { class: "hidden" }, "Overview"), totals,
    h("h2", { class: "hidden" }, "Clusters"), cards, h("div", { class: "columns" }, worst, changes));
  subscription.ask({ kind: "overview" });
  return { node, title: "Overview", kinds: ["events", "entities"], close: () => subscription.close(), state: draw };
}

/**
 * @param {number} value
 * @param {string} what
 * @param {string} name
 * @param {string} href
 */
const figure = (value, what, name, href) => h("a", { class: `figure ${name}`, href }, h("b", null, value.toLocaleString()), h("span", null, what));

/**
 * @param {any} cluster
 * @param {any} sums
 * @param {any} problem
 */
function card(cluster, sums, problem) {
  const counts = sums?.counts ?? [0, 0, 0, 0];
  const state = cluster.state === "up" && problem ? "degraded" : cluster.state;
  const bad = counts[0] + counts[1] + counts[2];
  const cause = problem ? CAUSES[problem.error] ?? problem.message : cluster.error ? CAUSES[cluster.error] ?? cluster.error : "";
  return h("li", { class: `card ${state}` },
    h("header", null, h("h3", null, h("a", { href: page("events", { q: `cluster:${cluster.name}` }) }, line(cluster.name, 120))),
      h("span", { class: `state ${state}` }, state === "up" ? "up" : state === "down" ? "down" : "degraded")),
    h("p", { class: "dim" }, cluster.version ? `Sensu ${line(cluster.version, 40)}, ` : "", `${cluster.state} since `, when(Date.parse(cluster.since) / 1000)),
    bar(counts),
    h("p", { class: "card-counts" }, SEVERITIES.slice(0, 3).map((name, at) => counts[at] > 0 &&
      h("a", { class: `count-link ${name}`, href: page("events", { q: `cluster:${cluster.name} status:${name}` }) }, `${counts[at].toLocaleString()} ${name}`)),
      !bad && (sums && !sums.loading ? h("span", { class: "dim" }, counts[3] ? "all passing" : "no events") : h("span", { class: "dim" }, cause ? "not read" : "reading…"))),
    h("dl", { class: "facts" },
      h("div", null, h("dt", null, "Entities"), h("dd", null, (sums?.entities ?? 0).toLocaleString())),
      h("div", null, h("dt", null, "Silenced"), h("dd", null, (sums?.silenced ?? 0).toLocaleString())),
      h("div", null, h("dt", null, "Answers in"), h("dd", null, latency(cluster)))),
    h("div", { class: "spark-box" }, h("span", { class: "dim" }, "Results that turned bad"), sparkline(sums?.spark ?? new Array(12).fill(0), "result")),
    cause && h("p", { class: "card-error" }, `${cause}. `, problem && problem.fresh < Infinity && problem.fresh > 0 && ["What is shown is from ", when(problem.fresh), ". "],
      h("a", { href: page("clusters") }, "Status")));
}

/** @param {any} cluster */
function latency(cluster) {
  const known = (cluster.backends ?? []).map((/** @type {any} */ backend) => backend.latency_ms).filter((/** @type {any} */ value) => typeof value === "number");
  return known.length ? `${Math.min(...known).toFixed(known[0] < 10 ? 1 : 0)} ms` : "–";
}

/** @param {any} row */
const place = (row) => h("span", { class: "dim" }, `${line(row.cluster, 60)} / ${line(row.namespace, 60)}`);

/** @param {any} row */
const eventLine = (row) => h("li", null, badge(row.status),
  h("span", { class: "what" }, h("a", { dir: "auto", href: page("event", { ns: row.ns, entity: row.entity, check: row.check, cluster: row.cluster }) }, `${line(row.entity, 80)} / ${line(row.check, 80)}`), place(row),
    h("span", { class: "output", dir: "auto" }, row.output)),
  h("span", { class: "side" }, history(row.history, row.executed), when(row.since), row.owner && h("span", { class: "dim", dir: "auto" }, row.owner)));

/** @param {any} row */
const changeLine = (row) => h("li", null, badge(row.status),
  h("span", { class: "what" }, h("a", { dir: "auto", href: page("event", { ns: row.ns, entity: row.entity, check: row.check, cluster: row.cluster }) }, `${line(row.entity, 80)} / ${line(row.check, 80)}`), place(row)),
  h("span", { class: "side" }, when(row.changed)));
