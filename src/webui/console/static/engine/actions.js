// What a user can do to objects. Each target is one request; each has its own outcome.

import { ApiError, federation, path, statusOf } from "./client.js";
import { now } from "../shared/time.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("../shared/records.js").Kind} Kind */

/**
 * @typedef {object} Target
 * @property {string} cluster
 * @property {string} ns
 * @property {string} name      as shown
 * @property {string} [entity]
 * @property {string} [check]
 * @property {string} [subscription]
 * @property {string[]} [subscriptions]
 *
 * @typedef {{target: Target, ok: boolean, message: string, status: number}} Outcome
 */

/** Requests in flight for one action. */
const AT_ONCE = 4;

/**
 * Does something to each target.
 * @param {Session} session
 * @param {keyof typeof ACTIONS} action
 * @param {Target[]} targets
 * @param {any} parameters
 * @returns {Promise<Outcome[]>}
 */
export async function act(session, action, targets, parameters) {
  const run = ACTIONS[action];
  /** @type {Outcome[]} */
  const outcomes = new Array(targets.length);
  let next = 0;
  const worker = async () => {
    while (next < targets.length) {
      const index = next;
      next += 1;
      const target = targets[index];
      try {
        const message = await run(session, target, parameters);
        outcomes[index] = { target, ok: true, message: message ?? "done", status: 0 };
      } catch (error) {
        outcomes[index] = { target, ok: false, message: /** @type {Error} */ (error).message, status: statusOf(error) };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, targets.length) }, worker));
  return outcomes;
}

/** Which lists an action changes. @type {Record<string, Kind[]>} */
export const TOUCHES = {
  silence: ["silences", "events"],
  clear: ["silences", "events"],
  resolve: ["events"],
  deleteEvent: ["events"],
  deleteEntity: ["entities", "events"],
  execute: ["events"],
  publish: ["checks"],
};

/** @type {Record<string, (session: Session, target: Target, parameters: any) => Promise<string | void>>} */
export const ACTIONS = {
  async silence(session, target, { reason, expire, onResolve, begin, replace }) {
    const { name, subscription, check } = target;
    /** @type {Record<string, unknown>} */
    const body = {
      metadata: { name, namespace: target.ns },
      reason: reason || "",
      expire_on_resolve: Boolean(onResolve),
      expire: expire ? expire : -1,
    };
    if (subscription) body.subscription = subscription;
    if (check) body.check = check;
    if (begin) body.begin = begin;
    const method = replace ? "PUT" : "POST";
    const url = replace ? path(target.ns, "silenced", name) : path(target.ns, "silenced");
    try {
      await session.request(url, { method, body });
    } catch (error) {
      if (statusOf(error) === 409) {
        throw new ApiError(409, `${name} is silenced already; choose "replace" to change it`);
      }
      throw error;
    }
    return `silenced ${name}`;
  },

  async clear(session, target) {
    await gone(session.request(path(target.ns, "silenced", target.name), { method: "DELETE" }));
    return "cleared";
  },

  // As sensuctl does: the event as it is, with a passing result.
  async resolve(session, target) {
    const url = path(target.ns, "events", target.entity ?? "", target.check ?? "");
    const { body: event } = await session.request(url);
    event.check.status = 0;
    event.check.output = `Resolved manually by ${session.view.user} in the console`;
    event.timestamp = now();
    await session.request(url, { method: "PUT", body: event });
    return "resolved";
  },

  async deleteEvent(session, target) {
    await gone(session.request(path(target.ns, "events", target.entity ?? "", target.check ?? ""), { method: "DELETE" }));
    return "deleted";
  },

  async deleteEntity(session, target) {
    await gone(session.request(path(target.ns, "entities", target.name), { method: "DELETE" }));
    return "deleted";
  },

  async execute(session, target) {
    const check = target.check ?? target.name;
    /** @type {Record<string, unknown>} */
    const body = { check, creator: session.view.user, reason: "" };
    if (target.subscriptions?.length) body.subscriptions = target.subscriptions;
    await session.request(path(target.ns, "checks", check, "execute"), { method: "POST", body });
    return "asked for a run; the result arrives when an agent has it";
  },

  async publish(session, target, { publish }) {
    await session.request(path(target.ns, "checks", target.name), {
      method: "PATCH", body: { publish }, headers: { "Content-Type": "application/merge-patch+json" },
    });
    return publish ? "published" : "unpublished";
  },

  // Of the gateway itself: clusters and replicators.
  async put(session, target, { resource, object, etag }) {
    /** @type {Record<string, string>} */
    const headers = {};
    if (etag) headers["If-Match"] = etag;
    else headers["If-None-Match"] = "*";
    try {
      await session.request(federation(resource, target.name), { method: "PUT", body: object, headers });
    } catch (error) {
      if (statusOf(error) === 412) {
        throw new ApiError(412, etag ? "it was changed by somebody else meanwhile; load it again"
          : "there is one of this name already");
      }
      throw error;
    }
    return "saved";
  },

  async remove(session, target, { resource }) {
    await gone(session.request(federation(resource, target.name), { method: "DELETE" }));
    return "removed";
  },

  // What a deleted replicator has left where it cannot be removed.
  async giveUp(session, target, { resource }) {
    await session.request(`${federation(resource, target.name)}?give_up=true`, { method: "DELETE" });
    return "given up";
  },
};

/**
 * What is gone already is no failure.
 * @param {Promise<unknown>} request
 */
async function gone(request) {
  try {
    await request;
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
  }
}
