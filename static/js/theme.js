// Runs before the first paint, so that a dark page never flashes white.
(function () {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  function choice() {
    try {
      return localStorage.getItem("theme") || "auto";
    } catch {
      return "auto";
    }
  }
  function apply() {
    const wanted = choice();
    const dark = wanted === "dark" || (wanted === "auto" && system.matches);
    document.documentElement.dataset.bsTheme = dark ? "dark" : "light";
    document.documentElement.dataset.theme = wanted;
  }
  apply();
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  document.addEventListener("theme:changed", apply);
})();
