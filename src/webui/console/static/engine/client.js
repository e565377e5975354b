// Requests to the gateway, and what their answers say about the clusters.

/** An answer that is no success, with what to tell a person. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 when there was no answer
   * @param {string} message
   * @param {Record<string, string>} [clusters] why each failed
   */
  constructor(status, message, clusters = {}) {
    super(message);
    this.status = status;
    this.clusters = clusters;
  }
}

/** The status of the answer that an error is about; 0 for none. @param {unknown} error */
export const statusOf = (error) => (error instanceof ApiError ? error.status : 0);

/**
 * `"alpha";status=200, "beta";error=timeout` (RFC 9651), as a map.
 * @param {string | null} header
 * @returns {Record<string, {status?: number, error?: string, omitted?: number}>}
 */
export function parseClusters(header) {
  /** @type {Record<string, any>} */
  const found = Object.create(null);
  for (const match of (header ?? "").matchAll(/"((?:[^"\\]|\\.)*)"((?:;\s*\w+=[\w.-]+)*)/g)) {
    /** @type {Record<string, any>} */
    const facts = {};
    for (const [, name, value] of match[2].matchAll(/;\s*(\w+)=([\w.-]+)/g)) {
      facts[name] = name === "error" ? value : Number(value);
    }
    found[match[1].replace(/\\(.)/g, "$1")] = facts;
  }
  return found;
}

/**
 * @typedef {object} Answer
 * @property {any} body
 * @property {Headers} headers
 */

/**
 * Sends one request.
 * @param {string} path
 * @param {{method?: string, token?: string, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal,
 *   seconds?: number}} [options]
 * @returns {Promise<Answer>}
 */
export async function send(path, { method = "GET", token, body, headers = {}, signal, seconds = 40 } = {}) {
  const limit = AbortSignal.timeout(seconds * 1000);
  /** @type {Record<string, string>} */
  const all = { Accept: "application/json", ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  if (body !== undefined && !all["Content-Type"]) all["Content-Type"] = "application/json";
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      // No dialog of the browser's own, no cookie, no stale list.
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, limit.aborted ? `the gateway did not answer within ${seconds} s`
      : "the gateway cannot be reached");
  }
  const parsed = parseBody(text);
  if (!response.ok) {
    const said = typeof parsed?.message === "string" ? parsed.message : parsed?.Message;
    const facts = Object.entries(parseClusters(response.headers.get("Fedgate-Clusters")));
    const clusters = Object.fromEntries(facts.flatMap(([name, { error }]) => (error ? [[name, error]] : [])));
    throw new ApiError(response.status, explain(response.status, said), clusters);
  }
  if (parsed === undefined && text) throw new ApiError(response.status, "the answer is not JSON");
  return { body: parsed, headers: response.headers };
}

/** @param {string} text */
function parseBody(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * @param {number} status
 * @param {unknown} said
 */
function explain(status, said) {
  const text = typeof said === "string" && said ? said : "";
  if (status === 403) return text && !/unauthorized to perform action/.test(text) ? text : "you may not do this";
  if (status === 429) return text || "too many attempts; wait a minute";
  return text || `the gateway answered ${status}`;
}

/**
 * The path of one object, or of a list without `name`.
 * @param {string} ns
 * @param {string} resource
 * @param {...string} names
 */
export function path(ns, resource, ...names) {
  return ["/api/core/v2/namespaces", ...[ns, resource, ...names].map(encodeURIComponent)].join("/");
}

/** A path of the gateway's own API. @param {...string} names */
export const federation = (...names) => ["/api/enterprise/federation/v1", ...names.map(encodeURIComponent)].join("/");
