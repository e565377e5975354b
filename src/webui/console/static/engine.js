/** @file The tab's end of the line to the engine (engine/main.js). */

import { isText, keep, kept } from "./shared/kept.js";

/** @typedef {any} Message */

/** @type {Worker | MessagePort} */
let port;
let last = 0;
/** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
const waiting = new Map();
/** @type {Map<number, {shown: (message: Message) => void, wanted?: Message}>} */
const views = new Map();
/** @type {Map<string, Set<(message: Message) => void>>} */
const listeners = new Map();

/** Where the login is, while the tab is there. */
const PLACE = "sessionStorage";
/** Milliseconds. */
const PATIENCE = 15_000;

/** An error that the engine reports; `status` is that of the answer, 0 for none. */
class EngineError extends Error {
  /** @param {{message: string, status: number}} error */
  constructor({ message, status }) {
    super(message);
    this.status = status;
  }
}

// The one place that makes a URL of a script: the policy of the page allows no other.
const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("fedgate-console", {
  createScriptURL: (/** @type {string} */ url) => url,
});

export function start() {
  connect();
  // A page that comes back from the browser's cache was forgotten meanwhile.
  addEventListener("pageshow", (/** @type {any} */ event) => event.persisted && hello());
  addEventListener("pagehide", () => post({ op: "bye" }));
  setInterval(() => void watch(), 20_000);
}

function connect() {
  const address = new URL("./engine/main.js", import.meta.url).href;
  const url = policy ? policy.createScriptURL(address) : address;
  const options = /** @type {const} */ ({ type: "module", name: "fedgate-console" });
  const worker = typeof SharedWorker === "function" ? new SharedWorker(url, options) : new Worker(url, options);
  worker.onerror = () => emit({ type: "broken" });
  port = worker instanceof Worker ? worker : worker.port;
  port.onmessage = ({ data }) => receive(data);
  hello();
  for (const [id, { wanted }] of views) if (wanted) post({ op: "view", view: id, ...wanted });
}

/** An engine that the browser has ended says nothing any more: another one takes over, with the login of this tab. */
async function watch() {
  const answer = await Promise.race([call("ping").then(() => true), new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
  if (answer || document.hidden) return;
  port.onmessage = null;
  // If it was only busy, it must not go on working for this tab twice.
  post({ op: "bye" });
  for (const { reject } of waiting.values()) reject(new EngineError({ message: "the console had to start again", status: -1 }));
  waiting.clear();
  connect();
  emit({ type: "restarted" });
}

function hello() {
  post({ op: "hello", tokens: kept("session", (tokens) => isText(tokens.access_token) && isText(tokens.refresh_token) && tokens.expires_at > 0, PLACE) });
}

/** @param {Message} message */
function receive(message) {
  if (message.id) {
    const call = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) call?.reject(new EngineError(message.error));
    else call?.resolve(message.body);
    return;
  }
  if (message.type === "view") {
    views.get(message.view)?.shown(message);
    return;
  }
  if (message.type === "session") keep("session", message.tokens, PLACE);
  emit(message);
}

/** @param {Message} message */
function emit(message) {
  for (const listener of listeners.get(message.type) ?? []) listener(message);
}

/** @param {Message} message */
function post(message) {
  port.postMessage(message);
}

/**
 * Asks the engine.
 * @param {string} op
 * @param {Message} [message]
 * @returns {Promise<any>}
 */
export function call(op, message = {}) {
  const id = (last += 1);
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    post({ ...message, id, op });
  });
}

/**
 * Hears of `session`, `state`, `news`, `broken` and `restarted`.
 * @param {string} type
 * @param {(message: Message) => void} listener
 * @returns {() => void} to hear no more
 */
export function on(type, listener) {
  const all = listeners.get(type) ?? new Set();
  listeners.set(type, all.add(listener));
  return () => void all.delete(listener);
}

/**
 * A query whose result is kept up to date.
 * @param {(result: Message) => void} shown
 */
export function view(shown) {
  const id = (last += 1);
  views.set(id, { shown });
  return {
    /** @param {{kind: string, query?: any, from?: number, to?: number}} wanted */
    ask(wanted) {
      views.set(id, { shown, wanted });
      post({ op: "view", view: id, ...wanted });
    },
    close() {
      views.delete(id);
      post({ op: "close", view: id });
    },
  };
}
