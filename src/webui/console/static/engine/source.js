// One list of one cluster, kept fresh: read page by page, swept, and read again later.

import { ApiError, parseClusters, path, statusOf } from "./client.js";
import { KINDS } from "../shared/records.js";
import { now } from "../shared/time.js";

/** @typedef {import("../shared/records.js").Kind} Kind */
/** @typedef {import("../shared/records.js").Row} Row */
/** @typedef {import("./session.js").Session} Session */

/** Rows are seen after the first page, so the first is small. */
const FIRST_PAGE = 200;
const PAGE = 1000;

/** Seconds between two readings of each kind, when all is well and the lists are small. */
const EVERY = /** @type {Record<Kind, number>} */ ({ events: 10, silences: 20, entities: 45, checks: 60 });

/** A list is not read for more than this part of the time, whatever its size. */
const DUTY = 8;
/** Milliseconds without the end of a reading after which it counts as slow. */
const SLOW = 3000;
const LONGEST = 300;

export class Source {
  /**
   * @param {Kind} kind
   * @param {string} cluster
   * @param {Session} session
   * @param {(source: Source) => void} changed
   */
  constructor(kind, cluster, session, changed) {
    this.kind = kind;
    this.cluster = cluster;
    this.session = session;
    this.changed = changed;
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    this.generation = 0;
    /** @type {Map<string, number>} */
    this.seen = new Map();
    this.running = false;
    this.started = 0;
    /** When it was last read to its end. */
    this.fresh = 0;
    /** Since when it could not be read. */
    this.failing = 0;
    this.failures = 0;
    /** @type {{error: string, message: string} | undefined} */
    this.problem = undefined;
    this.due = 0;
    this.abort = new AbortController();
  }

  /** Ends what is under way; the source is used no more. */
  stop() {
    this.abort.abort();
  }

  /** Whether its cluster lets it wait. */
  isSlow() {
    return this.running && Date.now() - this.started > SLOW;
  }

  /**
   * Reads the list once.
   * @param {() => Promise<string[]>} namespaces those of the cluster that the user sees, for users whose rights are by namespace
   */
  async read(namespaces) {
    this.running = true;
    this.started = Date.now();
    this.generation += 1;
    try {
      await this.readAll(namespaces);
      for (const key of this.rows.keys()) {
        if (this.seen.get(key) !== this.generation) {
          this.rows.delete(key);
          this.seen.delete(key);
        }
      }
      this.fresh = now();
      this.failing = 0;
      this.failures = 0;
      this.problem = undefined;
      const took = (Date.now() - this.started) / 1000;
      this.plan(Math.max(EVERY[this.kind], took * DUTY));
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.failing ||= now();
      this.failures += 1;
      this.problem = problem(error, this.cluster);
      this.plan(EVERY[this.kind] * 2 ** Math.min(this.failures, 6));
    } finally {
      this.running = false;
      if (!this.abort.signal.aborted) this.changed(this);
    }
  }

  /** @param {number} seconds */
  plan(seconds) {
    // Not all lists of all browsers at the same moment.
    this.due = Date.now() + Math.min(LONGEST, seconds) * 1000 * (0.85 + 0.3 * Math.random());
  }

  /** @param {() => Promise<string[]>} namespaces */
  async readAll(namespaces) {
    const { resource } = KINDS[this.kind];
    const clusters = encodeURIComponent(this.cluster);
    try {
      await this.pages(`/api/core/v2/${resource}?clusters=${clusters}`);
    } catch (error) {
      if (statusOf(error) !== 403) throw error;
      const visible = await namespaces();
      let refused = 0;
      for (const ns of visible) {
        try {
          await this.pages(`${path(`${ns}@${this.cluster}`, resource)}?`);
        } catch (inner) {
          if (statusOf(inner) !== 403) throw inner;
          refused += 1;
        }
      }
      if (refused === visible.length) throw error;
    }
  }

  /** @param {string} url */
  async pages(url) {
    let token = "";
    let limit = FIRST_PAGE;
    do {
      const next = token && `&continue=${encodeURIComponent(token)}`;
      const answer = await this.session.request(`${url}&limit=${limit}${next}`.replace("?&", "?"), {
        signal: this.abort.signal,
      });
      if (answer.headers.get("Fedgate-Complete") === "false") {
        const facts = parseClusters(answer.headers.get("Fedgate-Clusters"));
        const error = facts[this.cluster]?.error ?? facts["*"]?.error ?? "unreachable";
        throw new ApiError(200, "", { [this.cluster]: error });
      }
      this.take(answer.body);
      token = answer.headers.get("Sensu-Continue") ?? "";
      limit = PAGE;
      if (token) this.changed(this);
    } while (token);
  }

  /** @param {unknown} items */
  take(items) {
    if (!Array.isArray(items)) throw new ApiError(0, "the list is not a list", { [this.cluster]: "bad-body" });
    const { row } = KINDS[this.kind];
    for (const item of items) {
      const made = row(item, this.cluster);
      if (!made) continue;
      this.rows.set(made.key, made);
      this.seen.set(made.key, this.generation);
    }
  }
}

/**
 * @param {unknown} error
 * @param {string} cluster
 */
function problem(error, cluster) {
  if (!(error instanceof ApiError)) return { error: "bad-body", message: String(error) };
  const named = error.clusters[cluster];
  if (named) return { error: named, message: "" };
  const byStatus = /** @type {Record<number, string>} */ ({ 0: "gateway", 401: "unauthorized", 403: "forbidden",
    404: "not-found" });
  return { error: byStatus[error.status] ?? "server-error", message: error.message };
}
