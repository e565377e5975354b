// Runs before every page of the console that a test opens: what a person sees there and does, by role, name and title, so
// that scenarios read as what they are about and survive another look of the pages.

(() => {
  /** @param {Element} element */
  const isShown = (element) => element.getClientRects().length > 0;

  /** What is in front: a menu, else a dialog, else the page. */
  const front = () => document.querySelector("[role=menu]:popover-open") ?? [...document.querySelectorAll("dialog[open]")].pop() ?? document;

  /** @param {string} selector @param {ParentNode} [root] */
  const all = (selector, root = document) => [...root.querySelectorAll(selector)].filter(isShown);

  /** @param {Element} element */
  const text = (element) => (element.textContent ?? "").replace(/\s+/g, " ").trim();

  /** @param {Element} element */
  const name = (element) => (element.getAttribute("aria-label") ?? text(element)).replace(/\s+/g, " ").trim();

  /** @param {string} wanted @returns {HTMLButtonElement | undefined} */
  const button = (wanted) => /** @type {any} */ (all("button, a[href], summary, [role=menuitem], [role=menuitemcheckbox]", front())
    .findLast((element) => name(element) === wanted));

  /** @param {string} label @returns {any} */
  const control = (label) => {
    const found = all("label", front()).find((element) => text(element) === label || text(element).startsWith(`${label} `));
    return /** @type {HTMLLabelElement | undefined} */ (found)?.control ??
      all("input, select, textarea, [role=group]", front()).find((element) => element.getAttribute("aria-label") === label);
  };

  const grid = () => all("[role=grid]")[0];

  /** The rows of the table that are drawn now: by column title, or `group`. */
  const rows = () => all("[role=row]", grid() ?? document.createElement("div")).filter((row) => row.querySelector("[role=gridcell]"))
    .sort((a, b) => Number(a.getAttribute("aria-rowindex")) - Number(b.getAttribute("aria-rowindex")))
    .map((row) => {
      /** @type {Record<string, any>} */
      const found = { selected: row.getAttribute("aria-selected") === "true", id: row.id };
      const group = row.querySelector("[aria-colspan]");
      if (group) found.group = text(group.querySelector("strong") ?? group);
      for (const cell of row.querySelectorAll("[data-title]")) found[cell.getAttribute("data-title") ?? ""] = text(cell);
      return found;
    });

  /** @type {string[]} */
  const refused = [];
  document.addEventListener("securitypolicyviolation", (event) => refused.push(`${event.violatedDirective} ${event.blockedURI}`));

  // When the first row was there, in milliseconds since the page was asked for.
  const watch = new MutationObserver(() => {
    if (!document.querySelector("[role=row] [role=gridcell]")) return;
    /** @type {any} */ (globalThis).desk.firstRow = Math.round(performance.now());
    watch.disconnect();
  });
  watch.observe(document, { childList: true, subtree: true });

  /** @type {any} */ (globalThis).desk = {
    firstRow: undefined,
    all, button, control, name, refused, rows, text,
    /** The table has been read from all clusters that answer. */
    read: () => grid() && rows().length > 0 && !document.querySelector(".busy, [aria-busy=true]"),
    /** @param {string} wanted */
    click(wanted) {
      const found = button(wanted);
      if (!found || found.disabled) return false;
      found.click();
      return true;
    },
    /**
     * @param {string} label
     * @param {string | boolean} value the option's text of a choice
     */
    fill(label, value) {
      const found = control(label);
      if (!found) return false;
      if (typeof value === "boolean") {
        if (found.checked !== value) found.click();
        return true;
      }
      if (found instanceof HTMLSelectElement) {
        const option = [...found.options].find((candidate) => candidate.text.trim() === value);
        if (!option) return false;
        found.value = option.value;
      } else found.value = value;
      found.dispatchEvent(new Event("input", { bubbles: true }));
      found.dispatchEvent(new Event("change", { bubbles: true }));
      return true;
    },
    /** The error beside a field. @param {string} label */
    fieldError(label) {
      const ids = (control(label)?.getAttribute("aria-describedby") ?? "").split(" ");
      return ids.map((/** @type {string} */ id) => document.getElementById(id)).filter((/** @type {Element | null} */ node) => node?.getAttribute("role") === "alert")
        .map(text).join(" ");
    },
    dialog: () => text(/** @type {Element} */ ([...document.querySelectorAll("dialog[open]")].pop() ?? document.createElement("p"))),
    title: () => text([...document.querySelectorAll("dialog[open] h2")].pop() ?? document.createElement("p")),
    /** What was reported at the edge of the page. */
    said: () => text(document.querySelector(".toasts[role=status]") ?? document.createElement("p")),
    /** What is missing from the page, as its banner says. */
    missing: () => all(".banner[role=alert]").map(text).join(" "),
    /** The order of a column: ascending, descending or none. @param {string} title */
    order: (title) => all("[role=columnheader]").find((head) => text(head).replace(/[▲▼]/, "").trim() === title)?.getAttribute("aria-sort"),
    titles: () => all("[role=columnheader]").map((head) => text(head).replace(/[▲▼]/, "").trim()).filter(Boolean),
  };
})();
