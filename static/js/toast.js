// [data-toast]: good news leaves by itself, bad news waits to be closed.
const SHOWN_MS = 6000;

function watch(toast) {
  if (toast.dataset.tone !== "red") setTimeout(() => toast.remove(), SHOWN_MS);
}

document.addEventListener("click", (event) => {
  event.target.closest("[data-toast-close]")?.closest("[data-toast]")?.remove();
});

document.querySelectorAll("[data-toast]").forEach(watch);
new MutationObserver((changes) => {
  for (const change of changes) {
    for (const node of change.addedNodes) {
      if (node.nodeType === Node.ELEMENT_NODE && node.matches("[data-toast]")) watch(node);
    }
  }
}).observe(document.querySelector("#toasts"), { childList: true });
