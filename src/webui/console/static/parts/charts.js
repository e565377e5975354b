// Small drawings: bars of counts, a history of results, a line over the last hour. Each says in words what it shows.

import { h, icon, svg } from "../dom.js";
import { rank, SEVERITIES, severity } from "../shared/records.js";
import { count, plural } from "../shared/text.js";
import { ago, duration, full, now } from "../shared/time.js";

/**
 * A word and a sign for a status, never a colour alone.
 * @param {number} status
 */
export function badge(status) {
  const name = severity(status);
  return h("span", { class: `badge ${name}` }, icon(name), name);
}

/**
 * What the state of a cluster, a backend or a replicator comes to.
 * @param {string} state
 */
export const tone = (state) => (["up", "following"].includes(state) ? "up" : ["down", "stopped", "rejected"].includes(state) ? "down" : "degraded");

/**
 * How a cluster, a backend or a replicator is.
 * @param {string} name
 */
export const state = (name) => h("span", { class: `state ${tone(name)}` }, name);

/**
 * One of a list of facts.
 * @param {any} name
 * @param {any} value
 */
export const fact = (name, value) => h("div", h("dt", name), h("dd", value));

/**
 * A drawing, and what it shows in words.
 * @param {Record<string, string>} attributes
 * @param {string} words
 * @param {...any} parts
 */
const picture = (attributes, words, ...parts) => svg("svg", { ...attributes, role: "img", "aria-label": words }, svg("title", words), ...parts);

/**
 * Counts by severity as parts of a bar.
 * @param {number[]} counts in the order of SEVERITIES
 */
export function bar(counts) {
  const sum = counts.reduce((total, each) => total + each, 0);
  const words = SEVERITIES.map((name, at) => `${count(counts[at])} ${name}`).join(", ");
  let x = 0;
  const parts = counts.map((each, at) => {
    // What is there is seen, even one in ten thousand.
    const width = sum ? Math.max(each ? 1.5 : 0, (each / sum) * 100) : 0;
    const part = svg("rect", { x, y: 0, width, height: 8, class: `fill-${SEVERITIES[at]}` });
    x += width;
    return part;
  });
  return picture({ class: "bar", viewBox: `0 0 ${Math.max(100, x)} 8`, preserveAspectRatio: "none" }, words, parts);
}

/** A drawing of the last results of a check, the newest at the right, that can show those of another. */
export function results() {
  const slot = 5;
  const title = svg("title");
  // One path for each severity: a table has many of these.
  const paths = SEVERITIES.map((name) => svg("path", { class: `fill-${name}` }));
  const node = svg("svg", { class: "history", viewBox: "0 0 105 14", role: "img" }, title, svg("line", { x1: 0, x2: 105, y1: 13.5, y2: 13.5, class: "axis" }), paths);
  let shown = "";
  /** @param {string} history one digit each @param {number[]} executed */
  const show = (history, executed) => {
    const bad = history.replaceAll("0", "").length;
    const words = history ? `${bad} of the last ${plural(history.length, "result")} not passing, since ${ago(executed[0])}` : "no results yet";
    if (title.textContent !== words) title.textContent = words;
    if (shown === history) return;
    shown = history;
    const shapes = SEVERITIES.map(() => "");
    [...history].forEach((digit, at) => {
      const height = digit === "0" ? 5 : 12;
      shapes[rank(Number(digit))] += `M${(21 - history.length + at) * slot} ${13 - height}h4v${height}h-4z`;
    });
    shapes.forEach((d, at) => paths[at].setAttribute("d", d));
  };
  return { node, show };
}

/** @param {string} history one digit each @param {number[]} executed */
export function history(history, executed) {
  const { node, show } = results();
  show(history, executed);
  return node;
}

/**
 * A line over the last hour, with the number at its highest point.
 * @param {number[]} values
 * @param {string} one what is counted
 * @param {string} many
 */
export function sparkline(values, one, many) {
  const top = Math.max(...values, 1);
  const step = 120 / (values.length - 1);
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${(22 - (value / top) * 18).toFixed(1)}`);
  const sum = values.reduce((total, value) => total + value, 0);
  const words = `${plural(sum, one, many)} in the last hour, at most ${top} in five minutes`;
  return picture({ class: "spark", viewBox: "-2 0 150 34" }, words,
    svg("polygon", { points: `0,22 ${points.join(" ")} 120,22`, class: "area" }),
    svg("polyline", { points: points.join(" "), class: "line" }),
    svg("line", { x1: 0, x2: 120, y1: 22.5, y2: 22.5, class: "axis" }),
    svg("text", { x: 124, y: 9 }, top), svg("text", { x: 124, y: 25 }, "0"),
    svg("text", { x: 0, y: 32 }, "1 h ago"), svg("text", { x: 120, y: 32, "text-anchor": "end" }, "now"));
}

/**
 * A time as people say it, with the exact one on demand.
 * @param {number} time
 * @param {string} [text]
 */
export const when = (time, text = ago(time)) =>
  (time ? h("time", { datetime: new Date(time * 1000).toISOString(), title: full(time) }, text) : h("span", "–"));

/** From when the oldest is that is shown of a cluster; 0 for nothing. @param {any} problem @param {string[]} [kinds] */
export function oldest(problem, kinds = []) {
  const times = kinds.map((kind) => problem.fresh[kind]).filter(Boolean);
  return times.length ? Math.min(...times) : 0;
}

/** How long something has lasted. @param {number} time */
export const lasting = (time) => when(time, duration(now() - time));
