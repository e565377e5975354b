// All lists of all clusters, and what follows from them together.

import { rank } from "../shared/records.js";
import { now } from "../shared/time.js";

/** @typedef {import("./source.js").Source} Source */
/** @typedef {import("../shared/records.js").Kind} Kind */
/** @typedef {any} AnyRow */

export class Store {
  constructor() {
    /** @type {Map<string, Source>} */
    this.sources = new Map();
    /** Changes with every change of a kind. */
    this.versions = /** @type {Record<Kind, number>} */ ({ events: 0, entities: 0, checks: 0, silences: 0 });
    /** @type {Record<string, string>} what was joined when */
    this.joined = {};
  }

  /** @param {Kind} kind */
  of(kind) {
    return [...this.sources.values()].filter((source) => source.kind === kind);
  }

  /** @param {Kind} kind @returns {Generator<AnyRow>} */
  *rows(kind) {
    for (const source of this.sources.values()) if (source.kind === kind) yield* source.rows.values();
  }

  /**
   * The rows of a kind with what the other lists say about them.
   * @param {Kind} kind
   */
  joinedRows(kind) {
    const state = JSON.stringify(this.versions);
    if (kind !== "events" && this.joined[kind] !== state) {
      this.joined[kind] = state;
      if (kind === "silences") this.joinSilences();
      else this.joinIncidents(kind);
    }
    return this.rows(kind);
  }

  /**
   * How many events of each entity or check are not passing.
   * @param {"entities" | "checks"} kind
   */
  joinIncidents(kind) {
    /** @type {Map<string, {worst: number, incidents: number, silenced: Set<string>}>} */
    const sums = new Map();
    for (const event of this.rows("events")) {
      const name = kind === "entities" ? event.entity : event.check;
      const key = JSON.stringify([event.cluster, event.ns, name]);
      let sum = sums.get(key);
      if (!sum) sums.set(key, (sum = { worst: 0, incidents: 0, silenced: new Set() }));
      if (rank(event.status) < rank(sum.worst)) sum.worst = event.status;
      if (event.status !== 0) sum.incidents += 1;
      if (kind === "entities") {
        for (const name of event.silenced) if (name === `entity:${event.entity}:*`) sum.silenced.add(name);
      }
    }
    for (const row of this.rows(kind)) {
      const sum = sums.get(row.key);
      row.worst = sum?.worst ?? 0;
      row.incidents = sum?.incidents ?? 0;
      if (kind === "entities") row.silenced = [...(sum?.silenced ?? [])];
      row.status = row.worst;
    }
  }

  /** How many events each silence holds back. */
  joinSilences() {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const event of this.rows("events")) {
      for (const name of event.silenced) {
        const key = JSON.stringify([event.cluster, event.ns, name]);
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    for (const row of this.rows("silences")) row.matches = counts.get(row.key) ?? 0;
  }

  /** What the overview shows. */
  overview() {
    /** @type {Map<string, any>} */
    const clusters = new Map();
    const at = (/** @type {string} */ name) => {
      let sum = clusters.get(name);
      if (!sum) {
        sum = { counts: [0, 0, 0, 0], silenced: 0, entities: 0, spark: new Array(BUCKETS).fill(0), loading: false };
        clusters.set(name, sum);
      }
      return sum;
    };
    const start = now() - BUCKETS * BUCKET;
    /** @type {AnyRow[]} */
    const changes = [];
    /** @type {AnyRow[]} */
    const incidents = [];
    for (const event of this.rows("events")) {
      const sum = at(event.cluster);
      sum.counts[rank(event.status)] += 1;
      if (event.silenced.length) sum.silenced += 1;
      if (event.status !== 0 && !event.silenced.length) incidents.push(event);
      for (let index = 1; index < event.history.length; index += 1) {
        const time = event.executed[index];
        if (time < start || event.history[index] === event.history[index - 1]) continue;
        if (event.history[index] !== "0") sum.spark[Math.min(BUCKETS - 1, Math.floor((time - start) / BUCKET))] += 1;
      }
      if (event.changed >= start) changes.push(event);
    }
    for (const _ of this.rows("entities")) at(_.cluster).entities += 1;
    for (const source of this.sources.values()) {
      const sum = at(source.cluster);
      if (source.kind === "events" && !source.fresh && !source.problem) sum.loading = true;
    }
    incidents.sort((a, b) => rank(a.status) - rank(b.status) || b.since - a.since);
    changes.sort((a, b) => b.changed - a.changed);
    return {
      clusters: Object.fromEntries(clusters),
      worst: incidents.slice(0, 10),
      incidents: incidents.length,
      changes: changes.slice(0, 12),
      changed: changes.length,
      loading: [...clusters.values()].some(({ loading }) => loading),
    };
  }
}

/** The last hour in steps of five minutes. */
const BUCKETS = 12;
const BUCKET = 300;
