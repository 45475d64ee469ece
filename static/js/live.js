// body[data-live-url]: the page's one stream. Each hint fires "live" on the body (and "live:logs"
// for new log lines, "live:metrics" for new figures); what listens fetches itself again. Closed while nobody looks at the tab.
const GATHER_MS = 400;
const RETRY_MS = 3000;
const POLL_MS = 5000;

const url = document.body.dataset.liveUrl;
let source = null;
let last = "";
let gathering = null;
let retrying = null;

function show(state, title) {
  const dot = document.querySelector("[data-live-dot]");
  if (!dot) return;
  dot.dataset.live = state;
  dot.title = title;
}

function fire(name) {
  document.body.dispatchEvent(new CustomEvent(name, { bubbles: true }));
}

// The first hint acts at once; those that follow closely are gathered into one.
function changed() {
  if (gathering) {
    gathering.again = true;
    return;
  }
  fire("live");
  gathering = { again: false };
  setTimeout(() => {
    const again = gathering.again;
    gathering = null;
    if (again) changed();
  }, GATHER_MS);
}

function heard(event) {
  if (event.lastEventId) last = event.lastEventId;
  show("on", `Live. Last event at ${new Date().toLocaleTimeString()}`);
}

function open() {
  clearTimeout(retrying);
  if (source || document.hidden) return;
  source = new EventSource(last ? `${url}&last=${encodeURIComponent(last)}` : url);
  source.addEventListener("open", () => show("on", "Live"));
  source.addEventListener("ready", heard);
  source.addEventListener("changed", (event) => {
    heard(event);
    changed();
  });
  source.addEventListener("logs", (event) => {
    heard(event);
    fire("live:logs");
  });
  source.addEventListener("metrics", (event) => {
    heard(event);
    fire("live:metrics");
  });
  source.addEventListener("gone", () => location.reload());
  source.addEventListener("error", () => {
    close();
    show("off", "Not connected, trying again");
    retrying = setTimeout(open, RETRY_MS);
  });
}

function close() {
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", open);
// A server or proxy without streams still gives a page that follows, only slower.
setInterval(() => {
  if (!source && !document.hidden) changed();
}, POLL_MS);
open();
