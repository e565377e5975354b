// Runs before the page is drawn, so that a dark page never flashes white.
try {
  const theme = JSON.parse(localStorage.getItem("fedgate-console-theme") ?? "null");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, or with something else in it, the page follows the system.
}
