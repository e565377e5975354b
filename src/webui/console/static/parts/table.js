// A table of any length: only the rows in sight are elements. The engine has the rows; this asks for those it shows.

import { h, icon, replace } from "../dom.js";
import { call, view } from "../engine.js";
import { bar } from "./charts.js";

/**
 * @typedef {object} Column
 * @property {string} id
 * @property {string} title
 * @property {string} [sort]   the key to sort by, when it can
 * @property {string} width    of a grid track
 * @property {(row: any) => any} cell
 * @property {(row: any) => unknown} [plain] for exports
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

export class Table {
  /** @param {Options} options */
  constructor(options) {
    this.options = options;
    /** @type {Map<string, any>} */
    this.selected = new Map();
    this.cursor = 0;
    /** @type {Promise<void> | undefined} all rows, when they are being selected */
    this.selecting = undefined;
    /** @type {Map<number, {row: any, look: string, node: any}>} the rows that are elements now */
    this.drawn = new Map();
    /** Changes when all rows look different: other columns, another height. */
    this.generation = 0;
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
    this.observer = new ResizeObserver(() => {
      this.generation += 1;
      this.window();
    });
    this.observer.observe(this.scroller);
    this.range = [-1, -1];
    this.columns();
  }

  close() {
    this.view.close();
    this.observer.disconnect();
  }

  /** Draws the head again: the columns or the order changed. */
  columns() {
    const columns = this.options.columns();
    this.generation += 1;
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
            column.title, state !== "none" && h("span.order", { "aria-hidden": "true" }, state === "ascending" ? "▲" : "▼")));
    }));
    this.draw();
  }

  /** The query changed. */
  reset() {
    this.scroller.scrollTop = 0;
    this.cursor = 0;
    this.ask();
  }

  rowHeight() {
    return parseFloat(getComputedStyle(this.scroller).getPropertyValue("--row")) || 40;
  }

  window() {
    const height = this.rowHeight();
    const first = Math.floor(this.scroller.scrollTop / height);
    const count = Math.ceil(this.scroller.clientHeight / height);
    const [from, to] = this.range;
    if (from < 0 || (from > 0 && first - LEFT < from) || (to < this.last.total && first + count + LEFT > to)) this.ask();
    this.draw();
  }

  ask() {
    const height = this.rowHeight();
    const first = Math.floor(this.scroller.scrollTop / height);
    const count = Math.ceil((this.scroller.clientHeight || 800) / height);
    this.range = [Math.max(0, first - AHEAD), first + count + AHEAD];
    this.view.ask({ kind: this.options.kind, query: this.options.query(), from: this.range[0], to: this.range[1] });
  }

  /** @param {any} message */
  take(message) {
    this.last = message;
    for (const row of message.rows) if (this.selected.has(row.key)) this.selected.set(row.key, row);
    if (this.cursor >= message.total) this.cursor = Math.max(0, message.total - 1);
    this.draw();
    this.options.onchange();
  }

  draw() {
    const { from, rows, total } = this.last;
    const height = this.rowHeight();
    const columns = this.options.columns();
    this.scroller.setAttribute("aria-rowcount", String(total + 1));
    this.body.style.setProperty("height", `${total * height}px`);
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - 8);
    const end = Math.min(total, first + Math.ceil((this.scroller.clientHeight || 800) / height) + 16);
    const focused = this.body.contains(document.activeElement);
    /** @type {Map<number, {row: any, look: string, node: any}>} */
    const next = new Map();
    for (let index = first; index < end; index += 1) {
      const row = rows[index - from];
      const look = row === undefined ? "" : `${index === this.cursor} ${this.selected.has(row.key)} ${this.generation}`;
      let drawn = this.drawn.get(index);
      if (!drawn || drawn.row !== row || drawn.look !== look) {
        const node = row === undefined ? h("div.row.waiting", { role: "row" })
          : row.group !== undefined ? this.groupRow(row, columns.length) : this.row(row, index, columns);
        node.id = `row-${index}`;
        node.setAttribute("aria-rowindex", String(index + 2));
        node.style.setProperty("transform", `translateY(${index * height}px)`);
        drawn?.node.remove();
        drawn = { row, look, node };
      }
      next.set(index, drawn);
    }
    for (const [index, { node }] of this.drawn) if (!next.has(index)) node.remove();
    this.drawn = next;
    // In the order of the rows, for those who read the page instead of seeing it.
    let last = null;
    for (const { node } of next.values()) {
      if (node.parentNode !== this.body || node.previousSibling !== last) this.body.insertBefore(node, last ? last.nextSibling : this.body.firstChild);
      last = node;
    }
    if (focused && !this.body.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
    if (this.cursor >= first && this.cursor < end) this.scroller.setAttribute("aria-activedescendant", `row-${this.cursor}`);
    else this.scroller.removeAttribute("aria-activedescendant");
    this.scroller.classList.toggle("busy", Boolean(this.last.loading));
    this.drawSelection();
    const nothing = total === 0;
    this.note.hidden = !nothing;
    if (nothing) replace(this.note, this.options.empty(this.last));
  }

  /**
   * @param {any} row
   * @param {number} index
   * @param {Column[]} columns
   */
  row(row, index, columns) {
    const picked = this.selected.has(row.key);
    const box = h("input", { type: "checkbox", checked: picked, tabindex: -1, "aria-label": `Select ${row.name}`,
      onclick: (/** @type {Event} */ event) => {
        event.stopPropagation();
        this.cursor = index;
        this.toggle(row);
      } });
    return h("div", {
      class: `row${index === this.cursor ? " cursor" : ""}${row.status === undefined ? "" : ` s-${Math.min(3, Math.max(0, row.status))}`}${row.silenced?.length ? " quiet" : ""}`,
      role: "row", "aria-selected": String(picked),
      onclick: (/** @type {MouseEvent} */ event) => {
        if (/** @type {Element} */ (event.target).closest("a, button, input")) return;
        this.cursor = index;
        this.options.onopen(row);
      },
    }, h("div.cell.pick", { role: "gridcell" }, box),
      columns.map((column) => h("div", { class: `cell c-${column.id}`, role: "gridcell", "data-title": column.title }, column.cell(row))));
  }

  /**
   * @param {any} group
   * @param {number} span
   */
  groupRow(group, span) {
    return h("div.row.group", { role: "row" },
      h("div.cell", { role: "gridcell", "aria-colspan": span + 1 },
        h("button.plain", { "aria-expanded": String(!group.closed), onclick: () => this.options.ongroup(group) },
          icon(group.closed ? "right" : "down"), h("strong", group.label), h("span.count", group.count.toLocaleString())),
        bar(group.counts)));
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

  /** @returns {any} the row under the cursor */
  current() {
    const row = this.last.rows[this.cursor - this.last.from];
    return row?.group === undefined ? row : undefined;
  }

  /** What an action is for: the selection, else the row under the cursor. */
  async chosen() {
    // Keys come faster than the engine's answer.
    await this.selecting;
    if (this.selected.size) return [...this.selected.values()];
    const row = this.current();
    return row ? [row] : [];
  }

  /** @param {number} step */
  move(step) {
    // Who points has no use for the mark of the keys.
    this.node.classList.add("keyed");
    this.cursor = Math.max(0, Math.min(this.last.total - 1, this.cursor + step));
    const height = this.rowHeight();
    const top = this.cursor * height;
    const room = this.scroller.clientHeight - this.head.offsetHeight;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + height > this.scroller.scrollTop + room) this.scroller.scrollTop = top + height - room;
    this.draw();
  }
}
