"use strict";

// Sends what Sensu's web UI sends, in its way: the same paths, headers and bodies; a token that is refreshed when it
// is about to expire and when it is refused, at most three times; one refresh for parallel operations.
window.client = (() => {
  const stored = () => JSON.parse(localStorage.getItem("tokens") || "null");
  const store = tokens => {
    localStorage.setItem("tokens", JSON.stringify(tokens));
    return tokens;
  };

  const good = async response => {
    if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
    return response.json();
  };

  const signIn = async (user, password) => {
    const headers = { Accept: "application/json", Authorization: `Basic ${btoa(`${user}:${password}`)}` };
    return store(await good(await fetch("/auth", { headers })));
  };

  const withRefreshToken = (path, { access_token, refresh_token }) =>
    fetch(path, {
      method: "POST",
      headers: {
        Accept: "application/json",
        "Content-Type": "application/json",
        Authorization: `Bearer ${access_token}`,
      },
      body: JSON.stringify({ refresh_token }),
    });

  let refreshing = null;
  const refresh = () => {
    refreshing = refreshing || (async () => {
      try {
        return store(await good(await withRefreshToken("/auth/token", stored())));
      } finally {
        refreshing = null;
      }
    })();
    return refreshing;
  };

  const signOut = async () => {
    const { status } = await withRefreshToken("/auth/logout", stored());
    localStorage.removeItem("tokens");
    return status;
  };

  const REFRESH_SECONDS = 90;
  const MAX_REFRESHES = 3;

  // One operation is one request: an array with one member.
  const operation = async (operationName, query, variables = {}) => {
    let tokens = stored();
    if (tokens.expires_at - Date.now() / 1000 < REFRESH_SECONDS) tokens = await refresh();
    for (let refreshes = 0; ; refreshes += 1) {
      const response = await fetch("/graphql", {
        method: "POST",
        headers: {
          Accept: "*/*",
          "Content-Type": "application/json",
          Authorization: `Bearer ${tokens.access_token}`,
        },
        body: JSON.stringify([{ operationName, variables, query }]),
      });
      if (response.status === 401 && refreshes < MAX_REFRESHES) {
        tokens = await refresh();
        continue;
      }
      const [answer] = await good(response);
      if (answer.errors && answer.errors.length) throw new Error(JSON.stringify(answer.errors));
      return answer.data;
    }
  };

  // The claims as the UI reads them, on every page: plain base64, not the URL's.
  const claims = () => JSON.parse(atob(stored().access_token.split(".")[1]));

  return { stored, store, signIn, refresh, signOut, operation, claims };
})();

document.getElementById("root").textContent = `page ${decodeURIComponent(location.pathname)}`;
