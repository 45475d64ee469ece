// [data-chosen]: rows that one chooses; [data-chosen-count] says how many, [data-chosen-all] takes all or
// none. The bar itself shows by style, so that one may also choose without this script.
let last = null;

const boxes = () => [...document.querySelectorAll("[data-chosen]")];

function show() {
  const all = boxes();
  const chosen = all.filter((box) => box.checked).length;
  const count = document.querySelector("[data-chosen-count]");
  const text = chosen ? `${chosen} chosen` : "";
  if (count && count.textContent !== text) count.textContent = text;
  const head = document.querySelector("[data-chosen-all]");
  if (!head) return;
  head.hidden = false;
  head.checked = chosen > 0 && chosen === all.length;
  head.indeterminate = chosen > 0 && chosen < all.length;
}

// With the shift key: all from the one chosen before to this one.
function range(box) {
  const all = boxes();
  const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
  if (from < 0) return;
  for (const each of all.slice(from, to + 1)) each.checked = box.checked;
}

document.addEventListener("click", (event) => {
  const box = event.target.closest?.("[data-chosen]");
  if (!box) return;
  if (event.shiftKey && last) range(box);
  last = box;
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-chosen-all]")) {
    for (const box of boxes()) box.checked = event.target.checked;
  }
  show();
});
// After the form took its boxes back.
document.addEventListener("reset", () => setTimeout(show));
document.body.addEventListener("htmx:afterSettle", show);
window.addEventListener("pageshow", show);
show();
