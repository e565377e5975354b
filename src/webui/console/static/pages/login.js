// The login, and the same again over a page whose session has ended.

import { h } from "../dom.js";
import { call } from "../engine.js";
import { dialog, field, onSent } from "../parts/dialog.js";

/** What this is, for those who have never seen it. */
const about = () => [
  h("h2", "Several Sensu clusters, one page"),
  h("p", "This gateway stands in front of all your Sensu Go clusters and shows them as one."),
  h("ul",
    h("li", h("strong", "See"), " what is broken, where, since when, and who cares for it: the worst first, from every cluster."),
    h("li", h("strong", "Act"), " on it: silence, resolve, run again, in several clusters at once, with your own rights in each."),
    h("li", h("strong", "Rely"), " on it: a cluster that cannot be read is named, and never just missing.")),
];

/** @param {string} [known] */
function fields(known) {
  const user = h("input", { name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false", value: known ?? "", required: true, autofocus: !known });
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
  const error = h("p.form-error", { role: "alert" });
  const submit = h("button.primary", { type: "submit" }, "Log in");
  const form = h("form.login", { novalidate: true }, h("h1", "Log in"), h("p.hint", "With your user of the local Sensu cluster."), nodes, error, submit);
  onSent(form, submit, error, () => act().catch((failure) => `Not logged in: ${failure.message}.`));
  return { node: h("section.page.login-page", { "aria-label": "Log in" }, form, h("div.welcome", about())), title: "Log in", kinds: [], close: () => undefined, state: () => undefined };
}

/** @param {string} user */
export async function askAgain(user) {
  const { nodes, act } = fields(user);
  const leave = h("button", { onclick: () => void call("logout") }, "Log out");
  await dialog({ title: "Your session has ended", confirm: "Log in", forced: true, extra: [leave],
    body: [h("p", "Log in again to go on where you are. Nothing on the page is lost."), nodes], act });
}
