// Runs before the page is drawn, so that a dark page never flashes white.
try {
  const theme = localStorage.getItem("fedgate-console-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // A browser without storage follows the system.
}
