// The filter: a text field with completion. What it holds is what the URL holds.

import { h, replace } from "../dom.js";
import { call } from "../engine.js";
import { quote, wordAt } from "../shared/filter.js";

let last = 0;

/**
 * @param {{kind: string, value: string, example: string, onchange: (text: string) => void}} options
 */
export function filterBar({ kind, value, example, onchange }) {
  const id = `complete${(last += 1)}`;
  const list = h("ul.complete", { role: "listbox", id, "aria-label": "Suggestions", hidden: true });
  const error = h("p.field-error", { role: "alert" });
  const input = h("input", {
    type: "search", value, class: "filter", role: "combobox", spellcheck: "false", autocomplete: "off", autocapitalize: "off",
    "aria-label": "Filter", "aria-controls": id, "aria-expanded": "false", "aria-autocomplete": "list",
    placeholder: `Filter: ${example}   ( / )`,
  });
  const node = h("div.filter-bar", input, list, error);

  /** @type {{text: string, count: number}[]} */
  let found = [];
  let at = -1;
  /** @type {any} */
  let word;
  let asked = 0;
  let timer = 0;

  const hide = () => {
    // Suggestions that are still on their way come too late.
    asked += 1;
    found = [];
    at = -1;
    draw();
  };

  const draw = () => {
    replace(list, found.map(({ text, count }, index) => h("li", {
      role: "option", id: `${id}-${index}`, "aria-selected": String(index === at),
      onpointerdown: (/** @type {Event} */ event) => {
        event.preventDefault();
        choose(index);
      },
    }, h("span", word.key ? text : `${text}${text.endsWith(".") ? "…" : ":"}`), count > 0 && h("span.count", count))));
    list.hidden = !found.length;
    input.setAttribute("aria-expanded", String(found.length > 0));
    input.setAttribute("aria-activedescendant", at < 0 ? "" : `${id}-${at}`);
  };

  /** @param {number} index */
  const choose = (index) => {
    const { text } = found[index];
    const caret = input.selectionStart ?? input.value.length;
    const rest = input.value.slice(caret);
    const head = input.value.slice(0, word.start) + word.head;
    const made = word.key ? `${quote(text)} ` : `${text}${text.endsWith(".") ? "" : ":"}`;
    input.value = head + made + rest.replace(/^\s+/, "");
    input.setSelectionRange((head + made).length, (head + made).length);
    if (word.key) {
      hide();
      changed();
    } else void suggest();
  };

  const suggest = async () => {
    const mine = (asked += 1);
    const { value: text, selectionStart: caret } = input;
    const answer = await call("complete", { kind, text, caret }).catch(() => undefined);
    if (mine !== asked || !answer || document.activeElement !== input) return;
    word = answer.word;
    found = answer.values;
    at = -1;
    draw();
  };

  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => onchange(input.value.trim()), 150);
  };

  input.addEventListener("input", () => {
    changed();
    const { start, key } = wordAt(input.value, input.selectionStart);
    // What is there completes another word.
    if (start !== word?.start || key !== word.key) hide();
    void suggest();
  });
  input.addEventListener("focus", () => void suggest());
  input.addEventListener("blur", hide);
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (list.hidden) return;
      event.preventDefault();
      // Who has begun to choose chooses from what is there.
      asked += 1;
      at = (at + (event.key === "ArrowDown" ? 1 : at < 0 ? 0 : -1) + found.length) % found.length;
      draw();
    } else if ((event.key === "Enter" || event.key === "Tab") && at >= 0) {
      event.preventDefault();
      choose(at);
    } else if (event.key === "Enter") {
      hide();
      clearTimeout(timer);
      onchange(input.value.trim());
    } else if (event.key === "Escape") {
      if (list.hidden) input.blur();
      else hide();
      event.preventDefault();
    }
  });

  node.set = (/** @type {string} */ text) => {
    if (document.activeElement !== input) input.value = text;
  };
  node.say = (/** @type {string[]} */ messages) => {
    const text = messages.join("; ");
    if (error.textContent !== text) error.textContent = text;
  };
  node.focus = () => input.focus();
  return node;
}
