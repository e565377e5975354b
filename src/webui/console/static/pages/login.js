// The login, and the same again over a page whose session has ended.

import { h } from "../dom.js";
import { call } from "../engine.js";
import { dialog, field } from "../parts/dialog.js";

/** @param {string} [known] */
function fields(known) {
  const user = h("input", { type: "text", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", value: known ?? "", required: true, autofocus: !known });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true, autofocus: Boolean(known) });
  const act = async () => {
    if (!user.value || !password.value) return "Write your user name and password.";
    await call("login", { user: user.value, password: password.value });
    password.value = "";
    return undefined;
  };
  return { nodes: [field("User name", user), field("Password", password)], act };
}

export function loginPage() {
  const { nodes, act } = fields();
  const error = h("p", { class: "form-error", role: "alert" });
  const submit = h("button", { type: "submit", class: "primary" }, "Log in");
  const form = h("form", { class: "login", novalidate: true, onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    submit.disabled = true;
    error.textContent = "";
    try {
      error.textContent = (await act()) ?? "";
    } catch (failure) {
      error.textContent = `Not logged in: ${/** @type {Error} */ (failure).message}.`;
    } finally {
      submit.disabled = false;
    }
  } }, h("h1", null, "fedgate"), h("p", null, "All your Sensu clusters on one page: what is broken, where, and since when."), nodes, error, submit,
  h("p", { class: "hint" }, "With your user of the local Sensu cluster."));
  return { node: h("section", { class: "page login-page", "aria-label": "Log in" }, form), title: "Log in", kinds: [], close: () => undefined, state: () => undefined };
}

/** @param {string} user */
export async function askAgain(user) {
  const { nodes, act } = fields(user);
  const leave = h("button", { type: "button", onclick: () => void call("logout") }, "Log out");
  await dialog({ title: "Your session has ended", confirm: "Log in", forced: true, extra: [leave],
    body: [h("p", null, "Log in again to go on where you are. Nothing on the page is lost."), nodes], act });
}
