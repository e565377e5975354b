// The shell: navigation, banner, keys, theme. Which page is shown follows from the address alone.

import { h, icon, replace } from "./dom.js";
import { call, on, start } from "./engine.js";
import { amend, current, go, page, ROOT } from "./pages.js";
import { eventPage, entityPage } from "./pages/detail.js";
import { clustersPage, replicatorsPage } from "./pages/federation.js";
import { listPage } from "./pages/list.js";
import { askAgain, loginPage } from "./pages/login.js";
import { overviewPage } from "./pages/overview.js";
import { forgetRefusals } from "./parts/actions.js";
import { fact, oldest, when } from "./parts/charts.js";
import { dialog, menu, opener } from "./parts/dialog.js";
import { announce, badgeTab, switchNotifications, wanted } from "./parts/notify.js";
import { toast, toasts } from "./parts/toast.js";
import { isText, keep, kept } from "./shared/kept.js";
import { explain, own } from "./shared/text.js";
import { now } from "./shared/time.js";

/**
 * @typedef {object} Context
 * @property {() => any} state what the engine said last, see `state()` in engine/main.js
 *
 * @typedef {object} Page
 * @property {any} node
 * @property {string} title
 * @property {string[]} kinds lists that it needs
 * @property {() => void} close
 * @property {() => void} state something that is true of all pages changed
 * @property {() => void} [navigated] the address changed within the page
 * @property {(key: string) => boolean} [key]
 */

/** @type {Record<string, (context: Context) => Page>} */
const PAGES = {
  "": overviewPage,
  events: (context) => listPage("events", context),
  entities: (context) => listPage("entities", context),
  checks: (context) => listPage("checks", context),
  silences: (context) => listPage("silences", context),
  event: eventPage,
  entity: entityPage,
  clusters: clustersPage,
  replicators: replicatorsPage,
};

const NAVIGATION = /** @type {const} */ ([["", "Overview", "o"], ["events", "Events", "v"], ["entities", "Entities", "n"], ["checks", "Checks", "c"],
  ["silences", "Silences", "i"], ["clusters", "Clusters", "l"], ["replicators", "Replicators", "p"]]);

/** @type {any} */
let session = { state: "unknown" };
/** @type {any} */
let state = { namespaces: [], unlisted: [], gateway: { failing: 0, trouble: "" }, problems: [], fresh: 0, counts: [0, 0, 0] };
/** @type {Page | undefined} */
let shown;
let shownKey = "";
let shownAt = "";
let asking = false;

const context = { state: () => state };
const main = h("main", { id: "main", tabindex: -1 });
const banner = h("div.banner", { role: "alert", hidden: true });
const navigation = h("nav", { "aria-label": "Pages" });
const footer = h("footer.status-line");
const header = h("header.top",
  h("a.skip", { href: "#main" }, "To the content"),
  h("a.brand", { href: page("") }, h("span.mark", { "aria-hidden": "true" }), "fedgate"), navigation,
  opener("button.plain.who", "", userMenu));

const isInside = () => session.state === "in" || session.state === "expired";

function render() {
  const { name, query } = current();
  const inside = isInside();
  document.body.classList.toggle("inside", inside);
  const kiosk = query.has("kiosk");
  document.body.classList.toggle("kiosk", kiosk && inside);
  if (kiosk) void stayAwake();
  const key = inside ? identity() : "login";
  if (shown && shownKey === key) {
    // A login that is renewed is no reason to lose a selection.
    if (shownAt !== location.href) shown.navigated?.();
  } else {
    shown?.close();
    shown = inside ? (own(PAGES, name) ?? missing)(context) : loginPage();
    shownKey = key;
    replace(main, shown.node);
    scrollTo(0, 0);
  }
  shownAt = location.href;
  replace(navigation, inside && NAVIGATION.map(([target, title]) => h("a", { href: page(target), "aria-current": target === name ? "page" : undefined }, title)));
  navigation.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  want();
  drawState();
}

/** Pages of one object are others for another object; tables are the same for another filter. */
function identity() {
  const { name, query } = current();
  return name === "event" || name === "entity" ? `${name}?${query}` : name;
}

/** @returns {Page} */
function missing() {
  return { node: h("section.page", h("h1", "There is no such page"), h("p", h("a", { href: page("") }, "To the overview"))), title: "No such page", kinds: [],
    close: () => undefined, state: () => undefined };
}

/** Tells the engine what this tab needs. */
function want() {
  const kinds = new Set(shown?.kinds ?? []);
  // The count in the tab and the notifications are about events, whatever is shown.
  if (session.state === "in") kinds.add("events");
  void call("want", { kinds: [...kinds], visible: !document.hidden, notify: wanted() });
}

function drawState() {
  const inside = isInside();
  replace(header.querySelector(".who") ?? header, inside ? session.user : "", inside && icon("down"));
  drawBanner(inside);
  const total = state.counts;
  badgeTab(inside ? total : [0, 0, 0], shown?.title ?? "", state.problems.length > 0 || state.gateway.failing > 0);
  replace(footer, inside && state.fresh > 0 && h("span", "Read ", when(state.fresh)), inside && h("button.plain", { onclick: () => void call("refresh") }, "Read now"),
    inside && h("button.plain", { onclick: help }, "Keys (?)"));
}

/** Everything that makes this page incomplete, by name. @param {boolean} inside */
function drawBanner(inside) {
  /** @type {any[]} */
  const parts = [];
  const say = (/** @type {string} */ what, /** @type {any[]} */ ...more) => parts.push(h("p", h("strong", what), more));
  const { gateway, status, problems, fresh } = state;
  if (inside && gateway.failing) say("The gateway does not answer", ` (${gateway.trouble}). What is shown is from before `, when(gateway.failing), ".");
  const store = inside && status?.store;
  if (store) say("The gateway cannot read its registry", ` (${store.error ?? store.state}). Clusters that were registered may be missing from all pages, and nothing can be registered.`);
  if (inside && session.trouble) say("Your login cannot be renewed now. ", session.trouble);
  for (const problem of inside ? problems : []) {
    // The counts in the tab are of all pages; what this page does not show is not missing from it.
    if ((problem.error === "gateway" && gateway.failing) || !problem.kinds.some((/** @type {string} */ kind) => shown?.kinds.includes(kind))) continue;
    const from = oldest(problem, shown?.kinds);
    const old = from ? [" What is shown of it is from ", when(from), "."] : " Nothing of it is shown.";
    say(`${problem.cluster} is missing from this page: `, `${explain(problem.error)} (${problem.error}), since `, when(problem.since), ".", old, " ", h("a", { href: page("clusters") }, "Look at its status"));
  }
  if (inside && fresh && now() - fresh > 180 && !parts.length) say("This page is old: ", "last read ", when(fresh), ".");
  banner.hidden = !parts.length;
  replace(banner, parts);
}

/** @param {HTMLElement} anchor */
function userMenu(anchor) {
  const themes = [["", "Colours of the system"], ["light", "Light"], ["dark", "Dark"]];
  menu(anchor, [
    ...themes.map(([theme, label]) => ({ label, checked: (kept("theme", isText) ?? "") === theme, run: () => setTheme(theme) })),
    { label: "Notifications and sound", checked: wanted(), run: async () => {
      const problem = await switchNotifications();
      if (problem) toast(problem, { kind: "error" });
      want();
    } },
    { label: "Kiosk mode", run: () => amend({ kiosk: "1" }, false) },
    { label: "Keys", run: help },
    { label: "Log out", run: () => void call("logout") },
  ]);
}

/** @param {string} theme */
function setTheme(theme) {
  keep("theme", theme || undefined);
  document.documentElement.dataset.theme = theme;
}

/** A wall screen must not go dark. */
async function stayAwake() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // Without it the screen follows the settings of the system.
  }
}

// === keys ===

const KEYS = [["/", "Filter"], ["j, k", "Next, previous row"], ["Enter", "Open the row"], ["x", "Select the row"], ["a", "Select all, or none"], ["s", "Silence"], ["u", "Clear silences"],
  ["r", "Resolve"], ["e", "Run the check again"], [`g then ${NAVIGATION.map(([, , key]) => key).join(" ")}`, NAVIGATION.map(([, title]) => title).join(", ")], ["Esc", "Leave the filter, a dialog, kiosk mode"], ["?", "These keys"]];

function help() {
  void dialog({ title: "Keys", body: [h("dl.facts.wide", KEYS.map(([key, what]) => fact(h("kbd", key), what))),
    h("h3", "Filter"), h("p", "Terms are joined by and, values with a comma by or: ", h("code", "status:critical,warning -silenced:yes label.team:web since>1h \"disk full\""), ". A * stands for anything.")] });
}

let going = 0;

/** @param {KeyboardEvent} event */
function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const element = /** @type {HTMLElement} */ (event.target);
  if (element.closest("input, select, textarea, [role=menu]")) {
    if (!(element instanceof HTMLInputElement && element.type === "checkbox" && event.key !== " ")) return;
  }
  if ((event.key === "Enter" || event.key === " ") && element.closest("button, a, summary")) return;
  if (session.state !== "in") return;
  if (Date.now() - going < 1500) {
    going = 0;
    const target = NAVIGATION.find(([, , key]) => key === event.key);
    if (target) {
      event.preventDefault();
      go(page(target[0]));
      return;
    }
  }
  if (event.key === "g") going = Date.now();
  else if (event.key === "?") help();
  else if (event.key === "Escape" && current().query.has("kiosk")) amend({ kiosk: undefined }, false);
  else if (shown?.key?.(event.key)) event.preventDefault();
}

/** Links within the console change the page without loading it. @param {MouseEvent} event */
function clicked(event) {
  const link = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest("a[href]"));
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || link.target) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(ROOT) || url.hash) return;
  event.preventDefault();
  go(url.pathname + url.search);
  main.focus({ preventScroll: true });
}

document.body.append(header, banner, main, footer, toasts());
addEventListener("keydown", pressed);
addEventListener("click", clicked);
addEventListener("popstate", render);
addEventListener("navigated", render);
document.addEventListener("visibilitychange", want);
// "5 minutes ago" goes on while nothing arrives.
setInterval(() => !document.hidden && session.state === "in" && drawState(), 15_000);

on("session", (message) => {
  const before = session;
  session = message.session;
  if (before.user !== session.user || session.state === "out") forgetRefusals();
  if (session.state === "expired" && before.state !== "expired" && !asking) {
    asking = true;
    void askAgain(session.user).finally(() => (asking = false));
  } else if (session.state !== "expired") {
    // The login is over; what the user was filling in stays, unless they have logged out.
    for (const each of document.querySelectorAll(session.state === "in" ? "dialog[data-forced]" : "dialog")) /** @type {HTMLDialogElement} */ (each).close();
  }
  if (before.state !== session.state || before.user !== session.user) render();
  else drawState();
});
on("state", (message) => {
  state = message;
  shown?.state();
  drawState();
});
on("news", announce);
on("restarted", want);
on("broken", () => replace(main, h("section.page", h("h1", "The console cannot start"), h("p", "This browser does not run its worker. Update the browser, or use sensuctl or the command line."))));
start();
