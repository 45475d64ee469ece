// [data-log]: follows a log like a terminal. Lines after the cursor are fetched when the page's
// stream says so; scrolling up pauses, going back to the end follows again. What moves by itself (a
// font that comes late, lines whose height was only guessed) pauses nothing.
const MOST_LINES = 5000;
const NEAR_END_PX = 40;
const LOOK_MS = 4000;
const MOST_LATE = 500;

class Tail {
  constructor(card) {
    this.card = card;
    this.box = card.querySelector("[data-log-box]");
    this.button = card.querySelector("[data-log-follow]");
    this.state = card.querySelector("[data-log-state]");
    this.cursor = card.dataset.logCursor;
    this.following = true;
    this.waiting = 0;
    this.busy = false;
    this.again = false;
    this.lines = card.querySelector("[data-log-lines]");
    this.height = 0;
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.resized = new ResizeObserver(() => this.settled());
    this.resized.observe(this.lines);
    this.resized.observe(this.box);
    this.button.addEventListener("click", () => this.follow(!this.following));
    this.toEnd();
  }

  get isAtEnd() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < NEAR_END_PX;
  }

  // Its content or the box itself has another size: nobody scrolled.
  get hasMoved() {
    return this.height !== this.box.scrollHeight + this.box.clientHeight;
  }

  settled() {
    if (this.following) this.toEnd();
    this.height = this.box.scrollHeight + this.box.clientHeight;
  }

  scrolled() {
    if (this.hasMoved) this.settled();
    else if (this.isAtEnd !== this.following && !this.paused) this.show(this.isAtEnd);
  }

  follow(wanted) {
    this.paused = !wanted;
    this.show(wanted);
    if (wanted) this.toEnd();
  }

  show(following) {
    this.following = following;
    if (following) this.waiting = 0;
    this.button.setAttribute("aria-pressed", String(following));
    this.button.querySelector("span").textContent = following ? "Pause" : "Follow";
    const lines = this.waiting === 1 ? "line" : "lines";
    this.state.textContent = following ? "" : this.waiting ? `${this.waiting} new ${lines}` : "paused";
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.height = this.box.scrollHeight + this.box.clientHeight;
  }

  async fetch() {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      do {
        this.again = false;
      } while ((await this.page()) || this.again);
    } catch {
      // The server is away: the next hint or look goes on at the same line.
    }
    this.busy = false;
  }

  async page() {
    const { logUrl, logReplica, logSearch, logLevel } = this.card.dataset;
    const wanted = { replica: logReplica, q: logSearch, level: logLevel };
    const asked = new URLSearchParams({ after: this.cursor, ...wanted });
    const response = await fetch(`${logUrl}?${asked}`, { credentials: "same-origin" });
    if (!response.ok || response.redirected) return false;
    this.append(await response.text());
    this.cursor = response.headers.get("X-Log-Cursor");
    return response.headers.get("X-Log-More") === "1";
  }

  place(lines) {
    const end = this.box.querySelector(".log-empty");
    for (const line of lines) {
      let before = end;
      let last = end.previousElementSibling;
      for (let far = MOST_LATE; far && last && timeOf(last) > timeOf(line); far -= 1) {
        before = last;
        last = last.previousElementSibling;
      }
      before.before(line);
    }
  }

  append(html) {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const lines = [...parsed.querySelectorAll(".log-line")];
    if (!lines.length || !this.card.isConnected) return;
    this.place(lines);
    document.dispatchEvent(new Event("clocks:added"));
    if (!this.following) {
      this.waiting += lines.length;
      this.show(false);
      return;
    }
    const all = this.box.querySelectorAll(".log-line");
    for (let index = 0; index < all.length - MOST_LINES; index += 1) all[index].remove();
    this.toEnd();
  }
}

// Each replica sends its lines by itself, so one may come after a line that was written later.
const timeOf = (line) => line.firstElementChild.dateTime;

let tail = null;

function find() {
  const card = document.querySelector("[data-log]");
  if (!card || tail?.card === card) return;
  tail?.resized.disconnect();
  tail = new Tail(card);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-log-wrap]");
  if (!button) return;
  const wrapped = tail.card.toggleAttribute("data-wrapped");
  button.setAttribute("aria-pressed", String(wrapped));
});
document.body.addEventListener("htmx:afterSettle", find);
document.body.addEventListener("live:logs", () => tail?.fetch());
document.body.addEventListener("live", () => tail?.fetch());
setInterval(() => !document.hidden && tail?.fetch(), LOOK_MS);
document.documentElement.dataset.hasJs = "";
find();
