// body[data-live-url]: the page's one stream. Each hint fires "live" on the body (and "live:logs"
// for new log lines, "live:metrics" for new figures); what listens fetches itself again. Closed while nobody looks at the tab.
// What is dearer listens to "live:figures", for new figures now and then, or "live:seldom", for anything. Not to
// htmx's "throttle": that drops the hint that came last, and what it told of is not seen until the next one.
const GATHER_MS = 400;
const FIGURES_MS = 3000;
const SELDOM_MS = 5000;
const RETRY_MS = 3000;
const POLL_MS = 5000;
// A proxy that gathers answers passes on no stream, and says nothing either.
const OPEN_MS = 5000;

const url = document.body.dataset.liveUrl;
let source = null;
let last = "";
let retrying = null;
let opening = null;
let shown = null;

function show(state, title) {
  shown = { state, title };
  mark();
}

function mark() {
  const dot = document.querySelector("[data-live-dot]");
  if (!dot || !shown) return;
  dot.dataset.live = shown.state;
  dot.title = shown.title;
}

function fire(name) {
  document.body.dispatchEvent(new CustomEvent(name, { bubbles: true }));
}

// The first hint acts at once; those that follow closely are gathered into one, which is never lost.
function gathered(name, ms) {
  let again = null;
  const act = () => {
    if (again !== null) {
      again = true;
      return;
    }
    again = false;
    fire(name);
    setTimeout(() => {
      const missed = again;
      again = null;
      if (missed) act();
    }, ms);
  };
  return act;
}

const seldom = gathered("live:seldom", SELDOM_MS);
const soon = gathered("live", GATHER_MS);
const figures = gathered("live:figures", FIGURES_MS);

function changed() {
  soon();
  seldom();
}

function heard(event) {
  if (event.lastEventId) last = event.lastEventId;
  show("on", `Live. Last event at ${new Date().toLocaleTimeString()}`);
}

function open() {
  clearTimeout(retrying);
  if (source || document.hidden) return;
  source = new EventSource(last ? `${url}&last=${encodeURIComponent(last)}` : url);
  opening = setTimeout(() => show("off", "Not connected, asking now and then"), OPEN_MS);
  source.addEventListener("open", () => {
    clearTimeout(opening);
    show("on", "Live");
  });
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
    figures();
    seldom();
  });
  source.addEventListener("gone", () => location.reload());
  source.addEventListener("error", () => {
    close();
    show("off", "Not connected, trying again");
    retrying = setTimeout(open, RETRY_MS);
  });
}

function close() {
  clearTimeout(opening);
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", open);
// With a whole body comes a dot that says nothing yet.
document.body.addEventListener("htmx:afterSwap", mark);
// A server or proxy without streams still gives a page that follows, only slower.
setInterval(() => {
  if (source?.readyState !== EventSource.OPEN && !document.hidden) changed();
}, POLL_MS);
// What listens is bound when the page is whole; a hint that came earlier would be lost.
if (document.readyState === "complete") open();
else document.addEventListener("DOMContentLoaded", open);
