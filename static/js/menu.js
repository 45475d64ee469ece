// [data-menu]: a <details> that closes like a menu: by a choice, Escape or a click elsewhere.
const open = () => document.querySelectorAll("details[data-menu][open]");

document.addEventListener("click", (event) => {
  for (const menu of open()) {
    const chosen = event.target.closest(".menu-item");
    if (!menu.contains(event.target) || chosen) menu.removeAttribute("open");
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of open()) {
    menu.removeAttribute("open");
    menu.querySelector("summary")?.focus();
  }
});
