// Elements, without markup in strings: what is text stays text, and cannot reorder or hide what stands beside it. Numbers are
// written as the reader's language does.

import { count, safe } from "./shared/text.js";

/** @typedef {Node | string | number | false | null | undefined} Child */

/**
 * Makes an element: `h("a.button", { href }, "text", …)`. Attributes come first, or not at all: `on…` are listeners; `true`
 * is an empty attribute, `false` and `undefined` none. A button is one that submits nothing, unless its `type` says so.
 * @param {string} name the tag with its classes
 * @param {...any} parts
 * @returns {any}
 */
export function h(name, ...parts) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  if (tag === "button") element.setAttribute("type", "button");
  if (tag === "input") element.setAttribute("type", "text");
  return fill(element, parts);
}

/**
 * The same for SVG, whose classes are an attribute.
 * @param {string} tag
 * @param {...any} parts
 * @returns {any}
 */
export const svg = (tag, ...parts) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), parts);

/**
 * @param {Element} element
 * @param {any[]} parts
 */
function fill(element, parts) {
  const attributes = parts[0]?.constructor === Object ? parts.shift() : {};
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") /** @type {any} */ (element)[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) {
      element.setAttribute(name, name === "title" || name === "aria-label" ? safe(value) : String(value));
    }
  }
  append(element, parts);
  return element;
}

/**
 * @param {Element} element
 * @param {(Child | Child[])[]} children
 */
function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === false || child === null || child === undefined) continue;
    element.append(child instanceof Node ? child : typeof child === "number" ? count(child) : safe(child));
  }
}

/**
 * What has the focus keeps it, if it is there again.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function replace(element, ...children) {
  const focused = /** @type {any} */ (document.activeElement);
  const all = () => /** @type {any[]} */ ([...element.querySelectorAll("a, button, [tabindex]")]);
  const at = element.contains(focused) ? all().indexOf(focused) : -1;
  const of = (/** @type {any} */ one) => one.closest("li, tr")?.querySelector("h2, h3, th, strong")?.textContent;
  const owner = of(focused);
  element.replaceChildren();
  append(element, children);
  if (at < 0) return;
  const same = (/** @type {any} */ one) => one?.textContent === focused.textContent && one.href === focused.href && (one.href || of(one) === owner);
  // A link says what it is for, wherever it has come to; a button is of what stands around it, and goes where that goes.
  [all()[at], ...all().filter(({ href }) => href || owner)].find(same)?.focus({ preventScroll: true });
}

/**
 * An icon of the sprite below; always beside a text or a label.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** Makes an icon another one. @param {any} element @param {keyof typeof ICONS} name */
export const reshape = (element, name) => element.firstChild.setAttribute("d", ICONS[name]);

const DISC = "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1m";

const ICONS = {
  critical: "M8 1 15 14H1Zm-.8 4v5h1.6V5Zm0 6v1.6h1.6V11Z",
  warning: `${DISC}-.8 3h1.6v5H7.2Zm0 6.4h1.6V12H7.2Z`,
  unknown: `${DISC}-.8 9.6h1.6v1.5H7.2Zm0-1.1c0-2 2.2-2 2.2-3.4 0-.7-.6-1.1-1.4-1.1s-1.4.5-1.4 1.3H5c0-1.7 1.3-2.8 3-2.8s3 1 3 2.5c0 2-2.2 2.1-2.2 3.5Z`,
  passing: `${DISC}-1 10L3.9 7.9 5 6.8l2 2 4-4.1 1.1 1.1Z`,
  silenced: "M2 5h3l4-3v12l-4-3H2Zm9.3 1.2L10.2 7.3l.9.9-.9.9 1.1 1.1.9-.9.9.9 1.1-1.1-.9-.9.9-.9-1.1-1.1-.9.9Z",
  down: "M4 6h8l-4 5Z",
  right: "M6 4v8l5-4Z",
  close: "m4.2 3 3.8 3.8L11.8 3 13 4.2 9.2 8l3.8 3.8-1.2 1.2L8 9.2 4.2 13 3 11.8 6.8 8 3 4.2Z",
};
