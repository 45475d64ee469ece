// [data-theme-choice]: remembers light, dark or auto.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-choice]");
  if (!button) return;
  try {
    localStorage.setItem("theme", button.dataset.themeChoice);
  } catch {
    // A browser that stores nothing keeps following the system.
  }
  document.dispatchEvent(new Event("theme:changed"));
  button.closest("details")?.removeAttribute("open");
});
