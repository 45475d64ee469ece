// [data-palette-open] and Ctrl-K (⌘K): a search over services, models, pages and actions that is used by
// keys alone. What one chose is kept by this browser, so that it comes first the next time.
const KEPT = "palette";
const MOST = 8;
const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

const dialog = document.querySelector("#palette");
const input = dialog?.querySelector("[data-palette-input]");
const items = () => [...dialog.querySelectorAll("[data-palette-item]")];

function recent() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(kept) ? kept.filter((each) => typeof each === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}

function keep(href) {
  const kept = [href, ...recent().filter((each) => each !== href)].slice(0, MOST);
  try {
    localStorage.setItem(KEPT, JSON.stringify(kept));
  } catch {
    // A browser that keeps nothing has no last ones.
  }
}

function show() {
  if (dialog.open) return;
  dialog.showModal();
  input.value = "";
  input.focus();
  input.dispatchEvent(new CustomEvent("palette"));
}

function select(item) {
  for (const each of items()) each.setAttribute("aria-selected", String(each === item));
  if (item) input.setAttribute("aria-activedescendant", item.id);
  else input.removeAttribute("aria-activedescendant");
  item?.scrollIntoView({ block: "nearest" });
}

function move(event) {
  const all = items();
  if (!all.length) return;
  const at = all.findIndex((each) => each.getAttribute("aria-selected") === "true");
  const next = { ArrowDown: (at + 1) % all.length, ArrowUp: (at < 1 ? all.length : at) - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  select(all[next]);
}

function found() {
  const all = items();
  select(all[0]);
  const count = dialog.querySelector("[data-palette-count]");
  count.textContent = `${all.length} ${all.length === 1 ? "result" : "results"}`;
}

function bind() {
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(MAC ? event.metaKey : event.ctrlKey)) return;
    if (event.altKey || event.shiftKey || document.querySelector("dialog[open]:not(#palette)")) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    else show();
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-palette-open]") || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show();
  });
  input.addEventListener("keydown", move);
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    items().find((each) => each.getAttribute("aria-selected") === "true")?.click();
  });
  dialog.addEventListener("click", (event) => {
    const item = event.target.closest("[data-palette-item]");
    if (item) keep(item.getAttribute("href"));
    // What is beside the box is the dialog itself; a link may lead to a part of this very page.
    if (item || event.target === dialog || event.target.closest("[data-palette-close]")) dialog.close();
  });
  input.addEventListener("htmx:configRequest", (event) => {
    event.detail.parameters.recent = recent();
  });
  dialog.addEventListener("htmx:afterSwap", found);
  for (const keys of document.querySelectorAll("[data-palette-keys]")) {
    if (MAC) keys.textContent = "⌘ K";
  }
}

if (dialog) bind();
