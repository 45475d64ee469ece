// Times are sent in UTC; [data-clock] and the log show them in the reader's own zone.
const pattern = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };

function show() {
  for (const element of document.querySelectorAll("time[data-clock], .log-line time")) {
    if (element.dataset.shown === element.dateTime) continue;
    element.dataset.shown = element.dateTime;
    const at = new Date(element.dateTime);
    const text = at.toLocaleTimeString("en-GB", pattern);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = at.toLocaleString();
  }
}

document.addEventListener("clocks:added", show);
document.body.addEventListener("htmx:afterSettle", show);
show();
