// The addresses of the pages. Everything that is worth sharing is in them.

/** Below which path the console is served: "/console/". */
export const ROOT = new URL("../", import.meta.url).pathname;

/**
 * The address of a page.
 * @param {string} name empty for the overview
 * @param {Record<string, string | undefined>} [query]
 */
export function page(name, query = {}) {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value) parameters.set(key, value);
  const text = parameters.toString().replace(/%(3A|2C|40)/g, decodeURIComponent);
  return `${ROOT}${name}${text && `?${text}`}`;
}

/** @param {any} row of an event */
export const eventPath = ({ ns, entity, check, cluster }) => page("event", { ns, entity, check, cluster });

/** @param {any} row of an entity, or of one of its events */
export const entityPath = ({ ns, entity, name, cluster }) => page("entity", { ns, name: entity ?? name, cluster });

/** The page that the address names. */
export function current() {
  const name = location.pathname.slice(ROOT.length).replace(/\/$/, "");
  return { name, query: new URLSearchParams(location.search) };
}

/**
 * Goes to a page without loading it.
 * @param {string} address
 * @param {boolean} [instead] in place of the present one
 */
export function go(address, instead = false) {
  if (instead) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  dispatchEvent(new Event("navigated"));
}

/**
 * Changes parts of the present address.
 * @param {Record<string, string | undefined>} changes
 * @param {boolean} [instead] in place of the present one
 */
export function amend(changes, instead = true) {
  const { name, query } = current();
  go(page(name, { ...Object.fromEntries(query), ...changes }), instead);
}
