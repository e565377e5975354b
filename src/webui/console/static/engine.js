/** @file The tab's end of the line to the engine (engine/main.js). */

/** @typedef {any} Message */

/** @type {Worker | MessagePort} */
let port;
let last = 0;
/** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
const waiting = new Map();
/** @type {Map<number, (message: Message) => void>} */
const views = new Map();
/** @type {Map<string, Set<(message: Message) => void>>} */
const listeners = new Map();

const STORED = "fedgate-console-session";

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
  const address = new URL("./engine/main.js", import.meta.url).href;
  const url = policy ? policy.createScriptURL(address) : address;
  const options = /** @type {const} */ ({ type: "module", name: "fedgate-console" });
  if (typeof SharedWorker === "function") {
    const worker = new SharedWorker(url, options);
    worker.onerror = () => emit({ type: "broken" });
    port = worker.port;
  } else {
    const worker = new Worker(url, options);
    worker.onerror = () => emit({ type: "broken" });
    port = worker;
  }
  port.onmessage = ({ data }) => receive(data);
  hello();
  // A page that comes back from the browser's cache was forgotten meanwhile.
  addEventListener("pageshow", (/** @type {any} */ event) => event.persisted && hello());
  addEventListener("pagehide", () => post({ op: "bye" }));
  setInterval(() => post({ op: "ping" }), 20_000);
}

function hello() {
  let tokens;
  try {
    tokens = JSON.parse(sessionStorage.getItem(STORED) ?? "null");
  } catch {
    sessionStorage.removeItem(STORED);
  }
  post({ op: "hello", tokens });
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
    views.get(message.view)?.(message);
    return;
  }
  if (message.type === "session") {
    if (message.tokens) sessionStorage.setItem(STORED, JSON.stringify(message.tokens));
    else sessionStorage.removeItem(STORED);
  }
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
 * Hears of `session`, `state`, `news` and `broken`.
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
  views.set(id, shown);
  return {
    /** @param {{kind: string, query?: any, from?: number, to?: number}} wanted */
    ask: (wanted) => post({ op: "view", view: id, ...wanted }),
    close() {
      views.delete(id);
      post({ op: "close", view: id });
    },
  };
}
