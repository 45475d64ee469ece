// <time data-age>: keeps "12s", "4m" true without asking the server.
const STEPS = [
  [86400, "d"],
  [3600, "h"],
  [60, "m"],
  [1, "s"],
];

function text(seconds, suffix) {
  for (const [size, unit] of STEPS) {
    if (seconds >= size) return `${Math.floor(seconds / size)}${unit}${suffix ? ` ${suffix}` : ""}`;
  }
  return "now";
}

function tick() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("time[data-age]")) {
    const seconds = (Date.now() - Date.parse(element.dateTime)) / 1000;
    const shown = text(Math.max(seconds, 0), element.dataset.age);
    if (element.textContent !== shown) element.textContent = shown;
  }
}

setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);
