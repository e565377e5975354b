// Times as people read them. All times are Unix seconds, as Sensu has them.

/** @returns {number} the time now, in seconds */
export const now = () => Math.floor(Date.now() / 1000);

const UNITS = /** @type {const} */ ([["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]);

/**
 * A duration with at most two units: `3d 4h`, `12m`, `5s`.
 * @param {number} seconds
 */
export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, size] of UNITS) {
    if (rest >= size) {
      parts.push(`${Math.floor(rest / size)}${unit}`);
      rest %= size;
    }
    if (parts.length === 2) break;
  }
  return parts.join(" ") || "0s";
}

/**
 * How long ago, or in how long; empty for no time.
 * @param {number} time
 */
export function ago(time) {
  if (!time) return "";
  const seconds = now() - time;
  if (seconds < -1) return `in ${duration(-seconds)}`;
  return seconds < 2 ? "just now" : `${duration(seconds)} ago`;
}

const FORMAT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/**
 * The date and time of the reader's place.
 * @param {number} time
 */
export const full = (time) => (time ? FORMAT.format(new Date(time * 1000)) : "never");

/**
 * `90s`, `15m`, `4h`, `2d`, or digits for seconds.
 * @param {string} text
 * @returns {number | undefined} seconds
 */
export function parseDuration(text) {
  const match = /^(\d{1,9})\s*([smhdw]?)$/i.exec(text.trim());
  if (!match) return undefined;
  const sizes = { s: 1, m: 60, h: 3600, d: 86400, w: 604800, "": 1 };
  return Number(match[1]) * sizes[/** @type {keyof typeof sizes} */ (match[2].toLowerCase())];
}
