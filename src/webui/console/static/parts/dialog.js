// Dialogs: the browser's own element, so that focus, Escape and the inert page behind it are right.

import { h, icon } from "../dom.js";

/** Ids of fields, unique in the page. */
let last = 0;

/**
 * A field with its label, a hint, and room for an error of its own.
 * @param {string} label
 * @param {any} control
 * @param {string} [hint]
 */
export function field(label, control, hint) {
  const id = (control.id = `f${(last += 1)}`);
  const box = control.type === "checkbox";
  const text = h("label", { for: id }, label);
  return described(h("div", { class: box ? "field check" : "field" }, box ? [control, text] : [text, control]), control, hint);
}

/**
 * A field that any number of values may be chosen for.
 * @param {string} label
 * @param {string[]} values
 * @param {string[]} chosen
 * @param {string} [hint]
 */
export function choices(label, values, chosen, hint) {
  const boxes = values.map((value) => h("input", { type: "checkbox", value, checked: chosen.includes(value) }));
  const all = () => {
    const checked = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = checked;
  };
  const list = h("div.choices", { role: "group", "aria-label": label }, boxes.map((box) => h("label.choice", box, box.value)));
  const node = described(h("div.field", h("div", h("strong", label), " ", h("button.plain", { onclick: all }, "All, or none")), list), list, hint);
  node.chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  return node;
}

/** Adds a hint and room for an error. @param {any} node @param {any} control @param {string} [hint] */
function described(node, control, hint = "") {
  const id = `f${(last += 1)}`;
  const error = h("p.field-error", { id: `${id}-error`, role: "alert" });
  control.setAttribute("aria-describedby", `${id} ${id}-error`);
  node.append(h("p.hint", { id }, hint), error);
  node.say = (/** @type {string} */ message) => {
    error.textContent = message;
    if (message) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return node;
}

/**
 * What a form does when it is sent: one thing at a time, and what is wrong is said.
 * @param {any} form
 * @param {any} button the one that sends it
 * @param {any} error where to say it
 * @param {() => Promise<string | void> | string | void} act a text is an error to show
 */
export function onSent(form, button, error, act) {
  form.addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (!button || button.disabled) return;
    button.disabled = true;
    error.textContent = "";
    try {
      error.textContent = (await act()) ?? "";
    } catch (failure) {
      error.textContent = /** @type {Error} */ (failure).message;
    } finally {
      button.disabled = false;
    }
  });
}

/**
 * Opens a dialog and waits for its end.
 * @param {object} options
 * @param {string} options.title
 * @param {any[]} options.body
 * @param {string} [options.confirm] the button's text; without it there is only "Close"
 * @param {boolean} [options.danger]
 * @param {any[]} [options.extra] more buttons
 * @param {boolean} [options.forced] it cannot be dismissed
 * @param {() => Promise<string | void> | string | void} [options.act] runs on confirmation; a text is an error to show
 * @returns {Promise<boolean>} whether it was confirmed
 */
export function dialog({ title, body, confirm, danger = false, extra = [], forced = false, act }) {
  return new Promise((resolve) => {
    const error = h("p.form-error", { role: "alert" });
    const ok = confirm && h("button", { type: "submit", class: danger ? "danger" : "primary" }, confirm);
    const id = `d${(last += 1)}`;
    const close = () => element.close();
    const form = h("form", { method: "dialog", novalidate: true },
      h("header", h("h2", { id }, title),
        !forced && h("button.plain", { "aria-label": "Close", onclick: close }, icon("close"))),
      h("div.dialog-body", body, error),
      h("footer", extra, !forced && h("button", { onclick: close }, confirm ? "Cancel" : "Close"), ok));
    const element = h("dialog", { "aria-labelledby": id, "data-forced": forced }, form);
    let confirmed = false;
    onSent(form, ok, error, async () => {
      const said = await act?.();
      if (typeof said === "string") return said;
      confirmed = true;
      close();
    });
    element.addEventListener("cancel", (/** @type {Event} */ event) => forced && event.preventDefault());
    element.addEventListener("close", () => {
      element.remove();
      resolve(confirmed);
    });
    document.body.append(element);
    element.showModal();
    (form.querySelector("[autofocus]") ?? form.querySelector("input, select, textarea") ?? ok ?? form).focus();
  });
}

/** A button that opens a menu below itself. @param {string} name @param {any} label @param {(anchor: HTMLElement) => void} open */
export const opener = (name, label, open) => h(name, { "aria-haspopup": "menu", onclick: (/** @type {any} */ event) => open(event.currentTarget) }, label);

/**
 * A menu of buttons below a button.
 * @param {HTMLElement} anchor
 * @param {{label: string, run: () => void, checked?: boolean}[]} entries
 * @param {{keep?: boolean}} [options] `keep`: it stays open after a choice
 */
export function menu(anchor, entries, { keep = false } = {}) {
  const items = entries.map(({ label, run, checked }) => {
    const item = h("button", {
      role: checked === undefined ? "menuitem" : "menuitemcheckbox",
      "aria-checked": checked === undefined ? undefined : String(checked),
      onclick: () => {
        run();
        if (keep) item.setAttribute("aria-checked", String(item.getAttribute("aria-checked") !== "true"));
        else element.hidePopover();
      },
    }, label);
    return item;
  });
  const element = h("div.menu", { role: "menu", popover: "auto" }, items);
  element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const at = items.indexOf(/** @type {any} */ (document.activeElement));
    items[(at + step + items.length) % items.length].focus();
  });
  element.addEventListener("toggle", (/** @type {any} */ event) => {
    if (event.newState !== "closed") return;
    element.remove();
    anchor.focus();
  });
  document.body.append(element);
  element.showPopover();
  const box = anchor.getBoundingClientRect();
  element.style.setProperty("top", `${Math.min(box.bottom + 4, innerHeight - element.offsetHeight - 8)}px`);
  element.style.setProperty("left", `${Math.max(8, Math.min(box.left, innerWidth - element.offsetWidth - 8))}px`);
  items[0]?.focus();
}
