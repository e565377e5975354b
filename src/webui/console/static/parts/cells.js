// The cells of a table. Each is made once and then shows one row after another, so that scrolling makes no elements.

import { h, icon, reshape } from "../dom.js";
import { results } from "./charts.js";
import { severity } from "../shared/records.js";
import { line } from "../shared/text.js";
import { ago } from "../shared/time.js";

/**
 * @typedef {{node: any, show: (row: any) => void}} Cell
 * @typedef {(row: any) => any} Read
 */

/** @param {Element} node with nothing but text in it @param {string} words */
function say(node, words) {
  const text = /** @type {Text} */ (node.firstChild ?? node.appendChild(new Text()));
  if (text.data !== words) text.data = words;
}

/**
 * @param {Read} read
 * @param {string} [none] what stands for nothing
 * @param {string} [mark] how that looks
 * @returns {() => Cell}
 */
export const text = (read, none = "", mark = "dim") => () => {
  const node = h("span");
  return { node, show(row) {
    const words = line(String(read(row) || ""), 200);
    say(node, words || none);
    node.className = words ? "" : mark;
  } };
};

/** @param {Read} read @param {(row: any) => string} path @returns {() => Cell} */
export const link = (read, path) => () => {
  const node = h("a");
  return { node, show(row) {
    say(node, line(read(row), 200) || "–");
    node.href = path(row);
  } };
};

/** @param {Read} read Unix seconds; 0 for none @returns {() => Cell} */
export const time = (read) => () => {
  const node = h("time");
  return { node, show(row) {
    const at = read(row);
    say(node, ago(at) || "–");
    node.dateTime = at ? new Date(at * 1000).toISOString() : "";
  } };
};

/** @param {Read} read a status @returns {() => Cell} */
export const status = (read) => () => {
  const sign = icon("passing");
  const word = h("span");
  const badge = h("span", sign, word);
  const quiet = h("span");
  const tag = h("span.tag", icon("silenced"), quiet);
  return { node: [badge, tag], show(row) {
    const name = severity(read(row));
    if (word.textContent !== name) {
      badge.className = `badge ${name}`;
      reshape(sign, name);
      say(word, name);
    }
    tag.hidden = !row.silenced?.length;
    say(quiet, tag.hidden ? "" : "silenced");
    tag.title = tag.hidden ? "" : line(`silenced by ${row.silenced.join(", ")}`);
  } };
};

/** @returns {Cell} */
export const history = () => {
  const { node, show } = results();
  return { node, show: (row) => show(row.history, row.executed) };
};
