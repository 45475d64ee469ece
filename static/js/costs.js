// [data-cost]: counts what machines cost up, without asking the server. The server's own figure comes with
// each renewal of the page and is where the count begins anew.
const seen = new WeakMap();

function text(amount) {
  const digits = amount < 10 ? 4 : 2;
  return `$${amount.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

function tick() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("[data-cost]")) {
    const { cost, costPerHour } = element.dataset;
    if (!(Number(costPerHour) > 0)) continue;
    const from = seen.get(element);
    if (!from || from.cost !== cost) seen.set(element, { cost, at: performance.now() });
    const hours = (performance.now() - seen.get(element).at) / 3_600_000;
    const shown = text(Number(cost) + Number(costPerHour) * hours);
    if (element.textContent !== shown) element.textContent = shown;
  }
}

setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
