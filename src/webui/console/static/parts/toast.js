// Short messages at the edge of the page; errors stay until they are closed.

import { h, icon } from "../dom.js";

const place = h("div.toasts", { role: "status", "aria-live": "polite" });

export const toasts = () => place;

/**
 * @param {string} text
 * @param {{kind?: "ok" | "error", details?: string[]}} [options]
 */
export function toast(text, { kind = "ok", details = [] } = {}) {
  const item = h("div", { class: `toast ${kind}` },
    h("div", h("strong", text), details.length > 0 && h("ul", details.map((detail) => h("li", detail)))),
    h("button.plain", { "aria-label": "Close this message", onclick: () => item.remove() }, icon("close")));
  place.append(item);
  while (place.children.length > 5) place.firstChild?.remove();
  if (kind === "ok") setTimeout(() => item.remove(), 6000);
}

/**
 * What an action did, cluster by cluster.
 * @param {string} what
 * @param {import("../engine/actions.js").Outcome[]} outcomes
 */
export function report(what, outcomes) {
  const failed = outcomes.filter((outcome) => !outcome.ok);
  const clusters = [...new Set(outcomes.filter((outcome) => outcome.ok).map((outcome) => outcome.target.cluster))];
  if (!failed.length) {
    toast(`${what}: ${outcomes.length} done in ${clusters.join(", ")}`);
    return;
  }
  const details = failed.slice(0, 8).map(({ target, message }) => `${target.name} in ${target.ns || target.cluster}: ${message}`);
  if (failed.length > 8) details.push(`and ${failed.length - 8} more`);
  toast(`${what}: ${failed.length} of ${outcomes.length} failed`, { kind: "error", details });
}
