// The engine of the console: one per browser. It holds the login and the lists, asks the gateway, and tells the tabs what
// they show. It runs in a shared worker, so that ten tabs poll as one, and nothing heavy runs where the page is drawn;
// where there are no shared workers, each tab has an engine of its own.

import { act, TOUCHES } from "./actions.js";
import { ApiError, federation, parseClusters } from "./client.js";
import { run, values } from "./query.js";
import { Session } from "./session.js";
import { Source } from "./source.js";
import { Store } from "./store.js";
import { KEYS, reader, wordAt } from "../shared/filter.js";
import { rank } from "../shared/records.js";
import { now } from "../shared/time.js";

/** @typedef {import("../shared/records.js").Kind} Kind */
/** @typedef {any} Message */

/** @typedef {{postMessage: (message: any) => void, onmessage: any}} Port */

/**
 * @typedef {object} Tab
 * @property {Port} port
 * @property {boolean} visible
 * @property {boolean} notify
 * @property {Kind[]} kinds
 * @property {number} heard
 * @property {Map<number, View>} views
 *
 * @typedef {{kind: string, query: any, from: number, to: number, cached?: {state: string, result: Message}}} View
 */

const KINDS = /** @type {Kind[]} */ (["events", "entities", "checks", "silences"]);
/** Requests for lists in flight: all, of one cluster, and of those that are in trouble, so that one that hangs delays no other. */
const AT_ONCE = 5;
const AT_ONE = 2;
const AT_TROUBLED = 2;
/** Seconds. A hidden tab that shows notifications needs the events, but not every ten seconds. */
const STATUS_EVERY = 10;
const NAMESPACES_EVERY = 60;
const HIDDEN_EVERY = 60;
/** Seconds after which a tab that says nothing is gone; timers of hidden tabs run once a minute. */
const GONE = 200;

/** @type {Set<Tab>} */
const tabs = new Set();
const store = new Store();
const session = new Session(sessionChanged);
const channel = new BroadcastChannel("fedgate-console");

const gateway = {
  status: /** @type {any} */ (undefined),
  namespaces: /** @type {{name: string, cluster: string}[]} */ ([]),
  /** Clusters whose namespaces could not be read. */
  unlisted: /** @type {string[]} */ ([]),
  /** What the user may do with clusters and replicators. */
  permissions: /** @type {any} */ (undefined),
  failing: 0,
  trouble: "",
  statusDue: 0,
  namespacesDue: 0,
  /** The latest question for namespaces and permissions. */
  asking: Promise.resolve(),
  busy: false,
};

// === tabs ===

/** @param {Port} port */
function connect(port) {
  /** @type {Tab} */
  const tab = { port, visible: true, notify: false, kinds: [], heard: now(), views: new Map() };
  tabs.add(tab);
  port.onmessage = (/** @type {MessageEvent} */ { data }) => {
    tab.heard = now();
    void receive(tab, data);
  };
}

/**
 * @param {Tab} tab
 * @param {Message} message
 */
async function receive(tab, message) {
  const { id, op } = message;
  if (!tabs.has(tab)) tabs.add(tab);
  try {
    const body = await OPERATIONS[op](tab, message);
    if (id) tab.port.postMessage({ id, body });
  } catch (error) {
    const status = error instanceof ApiError ? error.status : -1;
    if (id) tab.port.postMessage({ id, error: { message: /** @type {Error} */ (error).message, status } });
  }
}

/** @type {Record<string, (tab: Tab, message: Message) => unknown>} */
const OPERATIONS = {
  hello(tab, { tokens }) {
    // How old they are is not known, so the first cluster that refuses them has them renewed.
    if (tokens && session.view.state === "out") session.adopt(tokens, 0);
    tab.port.postMessage({ type: "session", session: session.view, tokens: session.tokens });
    tab.port.postMessage(state());
    tick();
  },
  bye: (tab) => void tabs.delete(tab),
  ping: () => undefined,
  login: (_, { user, password }) => session.logIn(user, password),
  logout() {
    channel.postMessage("logout");
    return session.logOut();
  },
  /** What the tab needs, and whether anybody looks. */
  want(tab, { kinds, visible, notify }) {
    Object.assign(tab, { kinds, visible, notify });
    tick();
  },
  view(tab, { view, kind, query, from, to }) {
    tab.views.set(view, { kind, query, from, to, cached: tab.views.get(view)?.cached });
    show(tab, view);
  },
  close: (tab, { view }) => void tab.views.delete(view),
  async get(_, { path, method, body: sent }) {
    const { body, headers } = await session.request(path, { method, body: sent });
    return { body, etag: headers.get("ETag") ?? "" };
  },
  async act(_, { action, targets, parameters }) {
    const outcomes = await act(session, action, targets, parameters);
    const touched = TOUCHES[action];
    hurry((source) => touched?.includes(source.kind) && targets.some((/** @type {any} */ target) => target.cluster === source.cluster));
    if (!touched) gateway.statusDue = 0;
    tick();
    return outcomes;
  },
  refresh() {
    hurry();
    gateway.statusDue = gateway.namespacesDue = 0;
    tick();
  },
  complete: (_, { kind, text, caret }) => complete(kind, text, caret),
  /** All rows of a view, not only those in sight. */
  items: (_, { kind, query }) => run(store.joinedRows(kind), query).items,
};

/** Has lists read soon. @param {(source: Source) => unknown} [which] */
function hurry(which = () => true) {
  for (const source of store.sources.values()) if (which(source)) source.due = 0;
}

/**
 * @param {Kind} kind
 * @param {string} text
 * @param {number} caret
 */
function complete(kind, text, caret) {
  const word = wordAt(text, caret);
  if (word.key) return { word, values: values(store.joinedRows(kind), reader(word.key), word.typed, 12) };
  const typed = word.typed.toLowerCase();
  const keys = KEYS[kind].filter((key) => key.startsWith(typed)).map((text) => ({ text, count: 0 }));
  const labels = typed ? values(store.rows(kind), (row) => Object.keys(row.labels).map((name) => `label.${name}`), typed, 6)
    : [{ text: "label.", count: 0 }];
  return { word, values: [...keys, ...labels].slice(0, 14) };
}

function sessionChanged() {
  if (session.view.state !== "in") hurry();
  if (session.view.state === "out") {
    // Nothing of one user is left for the next.
    for (const source of store.sources.values()) source.stop();
    store.sources.clear();
    store.joined = {};
    Object.assign(gateway, { status: undefined, namespaces: [], unlisted: [], permissions: undefined });
    for (const kind of KINDS) store.versions[kind] += 1;
  } else {
    gateway.statusDue = 0;
    gateway.namespacesDue = 0;
  }
  send({ type: "session", session: session.view, tokens: session.tokens });
  send(state());
  for (const kind of KINDS) changed(kind);
  tick();
}

channel.onmessage = ({ data }) => {
  if (data === "logout" && session.view.state !== "out") void session.logOut();
};

/** @param {Message} message */
function send(message) {
  for (const tab of tabs) tab.port.postMessage(message);
}

// === what the tabs show ===

let showing = 0;
/** @type {Set<string>} */
const stale = new Set();
let cost = 0;

/** @param {Kind} kind */
function changed(kind) {
  store.versions[kind] += 1;
  stale.add(kind);
  // While pages arrive, a table is drawn a few times a second and not for each page.
  showing ||= setTimeout(showAll, Math.min(3000, Math.max(250, cost * 4)));
}

function showAll() {
  showing = 0;
  const kinds = new Set(stale);
  stale.clear();
  send(state());
  const started = performance.now();
  for (const tab of tabs) {
    for (const [view, { kind }] of tab.views) {
      // Entities and checks show what their events say.
      if (kinds.has(kind) || kind === "overview" || kinds.has("events")) show(tab, view);
    }
  }
  cost = performance.now() - started;
}

/**
 * @param {Tab} tab
 * @param {number} view
 */
function show(tab, view) {
  const wanted = tab.views.get(view);
  if (!wanted) return;
  if (wanted.kind === "overview") {
    tab.port.postMessage({ type: "view", view, overview: store.overview() });
    return;
  }
  const kind = /** @type {Kind} */ (wanted.kind);
  const result = resultOf(wanted, kind);
  const from = Math.max(0, Math.min(wanted.from, result.rows.length));
  tab.port.postMessage({
    type: "view",
    view,
    from,
    total: result.rows.length,
    rows: result.rows.slice(from, wanted.to),
    matched: result.matched,
    all: result.all,
    counts: result.counts,
    errors: result.errors,
    loading: !gateway.status || store.of(kind).some((source) => !source.fresh && !source.problem),
  });
}

/**
 * The result of a view; made again only when the question or the answer changed, not while somebody scrolls.
 * @param {View} wanted
 * @param {Kind} kind
 */
function resultOf(wanted, kind) {
  const state = JSON.stringify([wanted.query, kind === "events" ? store.versions.events : store.versions]);
  if (wanted.cached?.state !== state) wanted.cached = { state, result: run(store.joinedRows(kind), wanted.query) };
  return wanted.cached.result;
}

/** Everything that is true of all pages. */
function state() {
  /** @type {Record<string, any>} */
  const problems = {};
  let fresh = Infinity;
  const kinds = new Set([...tabs].flatMap((tab) => tab.kinds));
  for (const source of store.sources.values()) {
    if (!kinds.has(source.kind)) continue;
    if (source.fresh) fresh = Math.min(fresh, source.fresh);
    if (!source.problem) continue;
    const entry = (problems[source.cluster] ??= { cluster: source.cluster, kinds: [], since: Infinity, fresh: {},
      ...source.problem });
    entry.kinds.push(source.kind);
    entry.since = Math.min(entry.since, source.failing);
    entry.fresh[source.kind] = source.fresh;
  }
  const counts = [0, 0, 0, 0];
  for (const row of store.rows("events")) if (!row.silenced.length) counts[rank(row.status)] += 1;
  return {
    type: "state",
    status: gateway.status,
    namespaces: gateway.namespaces,
    unlisted: gateway.unlisted,
    permissions: gateway.permissions,
    gateway: { failing: gateway.failing, trouble: gateway.trouble },
    problems: Object.values(problems),
    fresh: fresh === Infinity ? 0 : fresh,
    counts,
  };
}

// === asking the gateway ===

function tick() {
  if (session.view.state !== "in") return;
  const watched = [...tabs].some((tab) => tab.visible);
  const notify = [...tabs].some((tab) => tab.notify);
  if (!watched && !notify) return;
  const at = Date.now();
  if (!gateway.busy && at >= Math.min(gateway.statusDue, gateway.namespacesDue)) void askGateway(watched);
  const kinds = new Set([...tabs].filter((tab) => tab.visible).flatMap((tab) => tab.kinds));
  if (notify) kinds.add("events");
  const sources = [...store.sources.values()];
  const running = sources.filter((source) => source.running);
  const due = sources.filter((source) => kinds.has(source.kind) && !source.running && at >= source.due)
    .sort((a, b) => Number(isTroubled(a)) - Number(isTroubled(b)) || a.due - b.due);
  for (const source of due) {
    if (running.length >= AT_ONCE) break;
    if (running.filter(({ cluster }) => cluster === source.cluster).length >= AT_ONE) continue;
    if (isTroubled(source) && running.filter(isTroubled).length >= AT_TROUBLED) continue;
    running.push(source);
    void read(source, watched);
  }
}

/** @param {Source} source */
const isTroubled = (source) => Boolean(source.problem) || source.isSlow()
  || gateway.status?.clusters.find((/** @type {any} */ { name }) => name === source.cluster)?.state === "down";

/**
 * @param {Source} source
 * @param {boolean} watched
 */
async function read(source, watched) {
  const first = !source.fresh;
  const before = new Map(source.kind === "events" && !first
    ? [...source.rows].map(([key, row]) => [key, /** @type {any} */ (row).status]) : []);
  await source.read(async () => {
    await gateway.asking;
    return gateway.namespaces.filter(({ cluster }) => cluster === source.cluster).map(({ name }) => name);
  });
  if (!watched && !source.problem) source.due = Math.max(source.due, Date.now() + HIDDEN_EVERY * 1000);
  if (!first && !source.problem && source.kind === "events") news(source, before);
  if (session.view.state === "in") tick();
}

/**
 * Tells one tab of what became critical.
 * @param {Source} source
 * @param {Map<string, number>} before
 */
function news(source, before) {
  const found = [];
  for (const [key, row] of source.rows) {
    const event = /** @type {any} */ (row);
    if (event.status === 2 && !event.silenced.length && before.get(key) !== 2) found.push(event);
  }
  const tab = [...tabs].find((candidate) => candidate.notify);
  if (found.length && tab) tab.port.postMessage({ type: "news", events: found.slice(0, 20), count: found.length });
}

/** @param {boolean} watched */
async function askGateway(watched) {
  gateway.busy = true;
  try {
    const at = Date.now();
    if (at >= gateway.namespacesDue) {
      gateway.namespacesDue = at + NAMESPACES_EVERY * 1000;
      // Only who has rights by namespace waits for these: for all others they complete forms, and spare what would be refused.
      gateway.asking = askAbout();
    }
    const { body } = await session.request(federation("status"));
    gateway.status = body;
    gateway.failing = 0;
    gateway.trouble = "";
    gateway.statusDue = Date.now() + (watched ? STATUS_EVERY : HIDDEN_EVERY) * 1000;
    follow(body.clusters);
  } catch (error) {
    gateway.failing ||= now();
    gateway.trouble = /** @type {Error} */ (error).message;
    const wait = Math.min(60, STATUS_EVERY * (1 + (now() - gateway.failing) / 30));
    gateway.statusDue = Date.now() + wait * 1000;
    gateway.namespacesDue = gateway.statusDue;
    // Even without a status there is the cluster that everything goes through.
    if (!store.sources.size && session.view.state === "in") follow([{ name: "local-cluster" }]);
  } finally {
    gateway.busy = false;
    send(state());
  }
  tick();
}

async function askAbout() {
  const [namespaces, permissions] = await Promise.allSettled([
    session.request("/api/core/v2/namespaces"), session.request(federation("permissions"))]);
  if (session.view.state !== "in") return;
  if (permissions.status === "fulfilled") gateway.permissions = permissions.value.body;
  if (namespaces.status === "fulfilled") {
    const { body, headers } = namespaces.value;
    gateway.namespaces = (Array.isArray(body) ? body : []).map((/** @type {any} */ item) => {
      const name = String(item.name);
      return { name: name.split("@")[0], cluster: String(item.cluster ?? "local-cluster") };
    });
    gateway.unlisted = Object.entries(parseClusters(headers.get("Fedgate-Clusters"))).filter(([, { error }]) => error).map(([name]) => name);
  } else gateway.unlisted = ["the clusters"];
  send(state());
}

/**
 * Keeps one source for each kind and cluster.
 * @param {{name: string, state?: string}[]} clusters
 */
function follow(clusters) {
  const names = new Set(clusters.map(({ name }) => name));
  for (const [key, source] of store.sources) {
    if (!names.has(source.cluster)) {
      // A gateway that cannot read its registry does not know all clusters.
      if (gateway.status?.store) continue;
      source.stop();
      store.sources.delete(key);
      changed(source.kind);
    } else if (source.problem && clusters.find(({ name }) => name === source.cluster)?.state === "up") {
      // What is well again is not left alone until its own next attempt.
      source.due = Math.min(source.due, Date.now() + STATUS_EVERY * 1000);
    }
  }
  for (const { name } of clusters) {
    for (const kind of KINDS) {
      const key = `${kind}/${name}`;
      if (store.sources.has(key)) continue;
      store.sources.set(key, new Source(kind, name, session, (source) => changed(source.kind)));
    }
  }
}

setInterval(() => {
  for (const tab of tabs) if (now() - tab.heard > GONE) tabs.delete(tab);
  tick();
}, 500);

const scope = /** @type {any} */ (globalThis);
if ("onconnect" in scope) scope.onconnect = (/** @type {MessageEvent} */ event) => connect(event.ports[0]);
else connect(scope);
