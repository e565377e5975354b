// A table of any length: only the rows in sight are elements, and those that leave become those that come. The engine has
// the rows; this asks for those it shows.

import { h, icon, replace } from "../dom.js";
import { call, view } from "../engine.js";
import { bar } from "./charts.js";
import { safe } from "../shared/text.js";
import { full } from "../shared/time.js";

/**
 * @typedef {object} Column
 * @property {string} id
 * @property {string} title
 * @property {string} [sort]   the key to sort by, when it can
 * @property {string} width    of a grid track
 * @property {() => import("./cells.js").Cell} cell
 * @property {(row: any) => unknown} [plain] for exports
 *
 * @typedef {{node: any, row: any, index: number, top: number, box?: any, cells?: import("./cells.js").Cell[]}} Slot
 *   an element and what it shows; one without cells shows a group, and never anything else
 *
 * @typedef {object} Options
 * @property {string} kind
 * @property {string} label
 * @property {() => Column[]} columns
 * @property {() => any} query
 * @property {(column: string) => void} onsort
 * @property {(row: any) => void} onopen
 * @property {(group: any) => void} ongroup
 * @property {() => void} onchange   the selection or the counts changed
 * @property {(message: any) => any} empty what to show when there are no rows
 */

/** Rows beyond those in sight that are asked for, and how few of them may be left. */
const AHEAD = 150;
const LEFT = 75;
/** Rows beyond those in sight that are elements. */
const MARGIN = 8;
/** Milliseconds without scrolling after which the elements are put in the order of their rows. */
const CALM = 100;

/** What tells a row, or a group, from others. @param {any} row */
const keyOf = (row) => row?.key ?? row?.label;

export class Table {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    /** @type {Map<string, any>} */
    this.selected = new Map();
    this.cursor = 0;
    /** @type {string | undefined} the row that the cursor was put on, wherever that comes to */
    this.pinned = undefined;
    /** @type {Promise<void> | undefined} all rows, when they are being selected */
    this.selecting = undefined;
    /** @type {Map<number, Slot>} the rows that are elements now */
    this.drawn = new Map();
    /** @type {Slot[]} elements that no row needs now */
    this.free = [];
    this.calm = 0;
    /** Heights in pixels: of a row, of what is in sight. */
    this.height = 40;
    this.room = 800;
    /** @type {any} */
    this.last = { from: 0, rows: [], total: 0, matched: 0, all: 0, counts: [0, 0, 0, 0], loading: true, errors: [] };
    this.view = view((message) => this.take(message));
    this.head = h("div.head.row", { role: "row", "aria-rowindex": 1 });
    this.body = h("div.rows", { role: "rowgroup" });
    this.note = h("div.empty");
    this.scroller = h("div.scroller", { role: "grid", tabindex: 0, "aria-label": options.label, "aria-multiselectable": "true" },
      h("div", { role: "rowgroup", class: "heads" }, this.head), this.body);
    this.node = h("div.table", this.scroller, this.note);
    this.scroller.addEventListener("scroll", () => this.window(), { passive: true });
    this.scroller.addEventListener("focus", () => this.hold());
    // What is cut, and exact times, are told only to who points at them.
    this.body.addEventListener("pointerover", (/** @type {any} */ { target }) => {
      const cell = target.closest(".cell");
      if (cell) cell.title = target.dateTime ? full(Date.parse(target.dateTime) / 1000) : cell.scrollWidth > cell.clientWidth ? cell.textContent : "";
    });
    this.observer = new ResizeObserver(() => {
      this.measure();
      this.window();
    });
    this.observer.observe(this.scroller);
    this.range = [-1, -1];
    this.shown = options.columns();
    this.columns();
  }

  close() {
    this.view.close();
    this.observer.disconnect();
    clearTimeout(this.calm);
  }

  /** Draws the head again: the columns or the order changed. */
  columns() {
    const columns = (this.shown = this.options.columns());
    for (const { node } of [...this.drawn.values(), ...this.free]) node.remove();
    this.drawn.clear();
    this.free = [];
    this.scroller.style.setProperty("--columns", `2.25rem ${columns.map((column) => column.width).join(" ")}`);
    this.scroller.setAttribute("aria-colcount", String(columns.length + 1));
    const sort = this.options.query().sort || "severity";
    this.all = h("input", { type: "checkbox", "aria-label": "Select all rows", onclick: () => this.selectAll() });
    replace(this.head, h("div", { role: "columnheader", class: "cell pick" }, this.all), columns.map((column) => {
      const key = column.sort;
      const state = key === undefined ? undefined : sort === key ? "ascending" : sort === `-${key}` ? "descending" : "none";
      return h("div", { role: "columnheader", class: `cell c-${column.id}`, "aria-sort": state },
        key === undefined ? column.title
          : h("button", { onclick: () => this.options.onsort(sort === key ? `-${key}` : key) },
            column.title));
    }));
    this.draw();
  }

  /** The query changed. */
  reset() {
    this.scroller.scrollTop = 0;
    this.cursor = 0;
    this.pinned = undefined;
    this.ask();
  }

  measure() {
    this.height = parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row")) || 40;
    this.room = this.scroller.clientHeight || 800;
  }

  /** The first row in sight, and the first below them. */
  sight() {
    const first = Math.floor(this.scroller.scrollTop / this.height);
    return [first, first + Math.ceil(this.room / this.height)];
  }

  window() {
    const [first, end] = this.sight();
    const [from, to] = this.range;
    if (from < 0 || (from > 0 && first - LEFT < from) || (to < this.last.total && end + LEFT > to)) this.ask();
    this.draw();
  }

  ask() {
    const [first, end] = this.sight();
    this.range = [Math.max(0, first - AHEAD), end + AHEAD];
    this.view.ask({ kind: this.options.kind, query: this.options.query(), from: this.range[0], to: this.range[1] });
  }

  /** @param {any} message */
  take(message) {
    this.last = message;
    for (const row of message.rows) if (this.selected.has(row.key)) this.selected.set(row.key, row);
    // The cursor goes where its row goes.
    const at = message.rows.findIndex((/** @type {any} */ row) => keyOf(row) === this.pinned);
    if (at >= 0) this.cursor = message.from + at;
    if (this.cursor >= message.total) this.cursor = Math.max(0, message.total - 1);
    this.hold();
    this.draw();
    this.options.onchange();
  }

  draw() {
    const { from, rows, total } = this.last;
    const [top, bottom] = this.sight();
    const first = Math.max(0, top - MARGIN);
    const end = Math.min(total, bottom + MARGIN);
    const focused = this.body.contains(document.activeElement);
    this.body.style.setProperty("height", `${total * this.height}px`);
    for (const index of this.drawn.keys()) if (index < first || index >= end || !rows[index - from]) this.release(index);
    for (let index = first; index < end; index += 1) {
      const row = rows[index - from];
      // What the engine has not sent yet is drawn when it is there.
      if (row) this.show(row, index);
    }
    for (const { node } of this.free) node.remove();
    if (focused && !this.body.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
    this.set(this.scroller, "aria-rowcount", total + 1);
    this.set(this.scroller, "aria-activedescendant", this.drawn.has(this.cursor) && this.isOn(this.at()) ? `row-${this.cursor}` : "");
    this.scroller.classList.toggle("busy", Boolean(this.last.loading));
    this.drawSelection();
    const nothing = total === 0;
    this.note.hidden = !nothing;
    if (nothing) replace(this.note, this.options.empty(this.last));
    clearTimeout(this.calm);
    this.calm = setTimeout(() => this.order(), CALM);
  }

  /** @param {number} index */
  release(index) {
    const slot = /** @type {Slot} */ (this.drawn.get(index));
    this.drawn.delete(index);
    // An element that has the focus must not become another row under the fingers of who uses it.
    if (slot.cells && !slot.node.contains(document.activeElement)) this.free.push(slot);
    else slot.node.remove();
  }

  /** @param {any} row @param {number} index */
  show(row, index) {
    const isGroup = row.group !== undefined;
    const before = this.drawn.get(index);
    if (before && (isGroup ? before.row !== row : !before.cells || (before.row.key !== row.key && before.node.contains(document.activeElement)))) this.release(index);
    const slot = this.drawn.get(index) ?? (isGroup ? this.group(row) : this.free.pop() ?? this.slot());
    this.drawn.set(index, slot);
    const { node, box, cells } = slot;
    if (slot.row !== row) {
      slot.row = row;
      for (const cell of cells ?? []) cell.show(row);
      for (const cell of node.children) if (cell.title) cell.title = "";
      box?.setAttribute("aria-label", safe(`Select ${row.name}`));
    }
    const top = index * this.height;
    if (slot.index !== index || slot.top !== top) {
      Object.assign(slot, { index, top });
      node.id = `row-${index}`;
      node.setAttribute("aria-rowindex", String(index + 2));
      node.style.setProperty("transform", `translateY(${top}px)`);
    }
    if (box) this.mark(slot);
    if (node.parentNode !== this.body) this.body.append(node);
  }

  /** Whether a row is picked, under the cursor, bad, silenced. @param {Slot} slot */
  mark({ node, box, row, index }) {
    const picked = this.selected.has(row.key);
    const look = `row${index === this.cursor && this.isOn(row) ? " cursor" : ""}${row.status === undefined ? "" : ` s-${Math.min(3, Math.max(0, row.status))}`}${row.silenced?.length ? " quiet" : ""}`;
    if (node.className !== look) node.className = look;
    box.checked = picked;
    this.set(node, "aria-selected", picked);
  }

  /** In the order of the rows, for those who read the page instead of seeing it. What has the focus stays where it is. */
  order() {
    const nodes = [...this.drawn].sort(([a], [b]) => a - b).map(([, { node }]) => node);
    const fixed = Math.max(0, nodes.findIndex((node) => node.contains(document.activeElement)));
    for (let at = fixed + 1; at < nodes.length; at += 1) if (nodes[at - 1].nextSibling !== nodes[at]) nodes[at - 1].after(nodes[at]);
    for (let at = fixed - 1; at >= 0; at -= 1) if (nodes[at + 1].previousSibling !== nodes[at]) nodes[at + 1].before(nodes[at]);
  }

  /** Without work for the browser when nothing changes. @param {Element} element @param {string} name @param {unknown} value */
  set(element, name, value) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }

  /** An element for any row. @returns {Slot} */
  slot() {
    const cells = this.shown.map((column) => column.cell());
    const box = h("input", { type: "checkbox", tabindex: -1, onclick: (/** @type {Event} */ event) => {
      event.stopPropagation();
      this.pin(slot.index);
      this.toggle(slot.row);
    } });
    const node = h("div.row", { role: "row", onclick: (/** @type {MouseEvent} */ event) => {
      if (/** @type {Element} */ (event.target).closest("a, button, input")) return;
      this.pin(slot.index);
      this.options.onopen(slot.row);
    } }, h("div.cell.pick", { role: "gridcell" }, box),
    this.shown.map((column, at) => h("div", { class: `cell c-${column.id}`, role: "gridcell", "data-title": column.title }, cells[at].node)));
    /** @type {Slot} */
    const slot = { node, box, cells, row: undefined, index: -1, top: -1 };
    /** @type {string | undefined} */
    let pressed;
    node.addEventListener("pointerdown", () => (pressed = slot.row.key));
    // A row that came under the pointer while its button was down is not the one that was meant. Keys press nothing.
    node.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (!event.detail || pressed === slot.row.key) return;
      event.preventDefault();
      event.stopPropagation();
    }, true);
    return slot;
  }

  /** @param {any} row @returns {Slot} */
  group(row) {
    const node = h("div.row.group", { role: "row" },
      h("div.cell", { role: "gridcell", "aria-colspan": this.shown.length + 1 },
        h("button.plain", { "aria-expanded": String(!row.closed), onclick: () => this.options.ongroup(row) },
          icon(row.closed ? "right" : "down"), h("strong", row.label), h("span.count", row.count)),
        bar(row.counts)));
    return { node, row, index: -1, top: -1 };
  }

  // === selection and cursor ===

  /** @param {any} row */
  toggle(row) {
    if (this.selected.has(row.key)) this.selected.delete(row.key);
    else this.selected.set(row.key, row);
    this.draw();
    this.options.onchange();
  }

  selectAll() {
    this.selecting = this.toggleAll();
    return this.selecting;
  }

  async toggleAll() {
    if (this.selected.size) this.selected.clear();
    else for (const row of await this.everything()) this.selected.set(row.key, row);
    this.draw();
    this.options.onchange();
  }

  /** @returns {Promise<any[]>} */
  everything() {
    return call("items", { kind: this.options.kind, query: this.options.query() });
  }

  drawSelection() {
    if (!this.all) return;
    this.all.checked = this.selected.size > 0 && this.selected.size >= this.last.matched;
    this.all.indeterminate = this.selected.size > 0 && !this.all.checked;
  }

  /** @returns {any} the row, or group, that is where the cursor is */
  at() {
    return this.last.rows[this.cursor - this.last.from];
  }

  /** @returns {any} the row under the cursor; none when it is gone, whatever stands there now */
  current() {
    const row = this.at();
    return row?.group === undefined && this.isOn(row) ? row : undefined;
  }

  /** Whether the cursor was put on it, or on nothing yet. @param {any} row */
  isOn(row) {
    return !this.pinned || keyOf(row) === this.pinned;
  }

  /** Puts the cursor on a row. @param {number} [index] */
  pin(index = this.cursor) {
    this.cursor = index;
    this.pinned = keyOf(this.at());
  }

  /** What is seen to be under the cursor stays under it. */
  hold() {
    if (!this.pinned && !this.last.loading && this.hasCursor()) this.pin();
  }

  /** Whether the cursor can be seen: who points has no use for the mark of the keys. */
  hasCursor() {
    return this.node.classList.contains("keyed") || this.scroller.matches(":focus-visible");
  }

  /** What an action is for: the selection, else the row under the cursor. */
  async chosen() {
    // Keys come faster than the engine's answer.
    await this.selecting;
    if (this.selected.size) return [...this.selected.values()];
    const row = this.hasCursor() && this.current();
    return row ? [row] : [];
  }

  /** @param {number} step */
  move(step) {
    this.node.classList.add("keyed");
    // Where a row is gone, the next one has come already.
    const next = this.cursor + (step > 0 && !this.isOn(this.at()) ? step - 1 : step);
    this.pin(Math.max(0, Math.min(this.last.total - 1, next)));
    const { height } = this;
    const top = this.cursor * height;
    const room = this.room - this.head.offsetHeight;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + height > this.scroller.scrollTop + room) this.scroller.scrollTop = top + height - room;
    this.draw();
  }
}
