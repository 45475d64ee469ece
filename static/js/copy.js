// [data-copy="text"] copies the text; [data-copy-from="#id"] copies what that element shows.
const SHOWN_MS = 1500;

async function write(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  // Plain http on another host has no clipboard API.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  event.preventDefault();
  const source = button.dataset.copyFrom && document.querySelector(button.dataset.copyFrom);
  await write(source ? source.textContent : button.dataset.copy);
  button.dataset.copied = "";
  setTimeout(() => delete button.dataset.copied, SHOWN_MS);
});
