// Who is logged in. Tokens live here, in memory, and in the sessionStorage of the tabs, which the tabs write.

import { ApiError, send, statusOf } from "./client.js";
import { string } from "../shared/text.js";
import { now } from "../shared/time.js";

/**
 * @typedef {{access_token: string, refresh_token: string, expires_at: number}} Tokens
 * @typedef {{state: "out" | "in" | "expired", user: string, trouble: string}} SessionView
 */

export class Session {
  /** @param {() => void} changed */
  constructor(changed) {
    /** @type {Tokens | undefined} */
    this.tokens = undefined;
    this.adopted = 0;
    /** @type {SessionView} */
    this.view = { state: "out", user: "", trouble: "" };
    this.changed = changed;
    /** @type {Promise<string> | undefined} */
    this.renewing = undefined;
  }

  /**
   * @param {string} user
   * @param {string} password
   */
  async logIn(user, password) {
    const bytes = new TextEncoder().encode(`${user}:${password}`);
    const basic = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    try {
      const { body } = await send("/auth", { headers: { Authorization: `Basic ${basic}` } });
      this.adopt(body);
    } catch (error) {
      if (statusOf(error) === 401) throw new ApiError(401, "wrong user name or password");
      throw error;
    }
  }

  /**
   * Takes over what a tab has kept, if it is newer than what is here.
   * @param {any} tokens
   * @param {number} [made] when
   */
  adopt(tokens, made = now()) {
    if (typeof tokens?.access_token !== "string" || typeof tokens?.refresh_token !== "string") {
      throw new ApiError(0, "the answer of the login is not understood");
    }
    const next = /** @type {Tokens} */ (tokens);
    if (this.tokens && this.view.state === "in" && this.tokens.expires_at >= next.expires_at) return;
    const claims = readClaims(next.access_token);
    this.tokens = next;
    this.adopted = made;
    this.view = {
      state: "in",
      user: string(claims.sub),
      trouble: "",
    };
    this.changed();
  }

  async logOut() {
    const tokens = this.tokens;
    this.tokens = undefined;
    this.view = { state: "out", user: "", trouble: "" };
    this.changed();
    if (!tokens) return;
    // The login ends here whether or not the cluster hears of it.
    await send("/auth/logout", {
      method: "POST", token: tokens.access_token, body: { refresh_token: tokens.refresh_token }, seconds: 10,
    }).catch(() => undefined);
  }

  /** A token that is good for a minute at least; renews it if need be. */
  async token() {
    if (!this.tokens || this.view.state !== "in") throw new ApiError(401, "you are not logged in");
    if (this.tokens.expires_at - now() > 60) return this.tokens.access_token;
    return this.renew();
  }

  /** Renews the token, once for all who wait for it. */
  renew() {
    this.renewing ??= this.renewOnce().finally(() => {
      this.renewing = undefined;
    });
    return this.renewing;
  }

  async renewOnce() {
    const tokens = this.tokens;
    if (!tokens) throw new ApiError(401, "you are not logged in");
    try {
      const { body } = await send("/auth/token", {
        method: "POST", token: tokens.access_token, body: { refresh_token: tokens.refresh_token },
      });
      if (this.tokens === tokens) this.adopt(body);
      return /** @type {Tokens} */ (body).access_token;
    } catch (error) {
      this.failed(tokens, error);
      throw error;
    }
  }

  /**
   * @param {Tokens} tokens
   * @param {unknown} error
   */
  failed(tokens, error) {
    if (this.tokens !== tokens) return;
    if ([400, 401, 403, 404].includes(statusOf(error))) {
      // The page stays, and asks for the password again.
      this.view = { ...this.view, state: "expired", trouble: "" };
    } else {
      this.view = { ...this.view, trouble: `the login cannot be renewed: ${/** @type {Error} */ (error).message}` };
    }
    this.changed();
  }

  /**
   * Sends a request as the user; a token that was refused is renewed once.
   * @param {string} path
   * @param {Parameters<typeof send>[1]} [options]
   */
  async request(path, options = {}) {
    const token = await this.token();
    try {
      return await send(path, { ...options, token });
    } catch (error) {
      // One cluster that does not know the key refuses every token, the newest too.
      if (statusOf(error) !== 401 || now() - this.adopted < 60) throw error;
      const renewed = this.tokens?.access_token === token ? await this.renew() : await this.token();
      return send(path, { ...options, token: renewed });
    }
  }
}

/**
 * The claims of a token, unverified: only to show who is logged in.
 * @param {string} token
 * @returns {Record<string, any>}
 */
function readClaims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (character) => character.charCodeAt(0))));
  } catch {
    return {};
  }
}
