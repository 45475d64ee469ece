// One chat with one model. What was said is kept here and nowhere else; what a model says is text,
// never markup.
import { Figures } from "./chat-figures.js";
import { ask, Problem } from "./chat-stream.js";
import { Turn } from "./chat-turn.js";

const NEAR_END_PX = 40;

export class Column {
  constructor(element, { url, csrf }) {
    this.element = element;
    this.url = url;
    this.csrf = csrf;
    this.log = element.querySelector("[data-log]");
    this.figures = element.querySelector("[data-figures]");
    this.clear();
  }

  get model() {
    return this.element.querySelector("[data-model]").value;
  }

  get isShown() {
    return !this.element.hidden;
  }

  // The body of the next call.
  call({ system, ...settings }, text) {
    const before = system ? [{ role: "system", content: system }] : [];
    const messages = [...before, ...this.said, { role: "user", content: text }];
    return { model: this.model, messages, ...settings };
  }

  // Returns whether there is an answer.
  async send(settings, text) {
    this.last = this.call(settings, text);
    // What comes after "New chat" is of the old one.
    const said = this.said;
    this.add("user", "You", text);
    const turn = this.add("assistant", this.model, "");
    const figures = new Figures(performance.now());
    this.stopping = new AbortController();
    this.figures.textContent = "";
    const clock = this.clock(turn, figures);
    try {
      await this.receive(turn, figures);
    } catch (error) {
      const isStopped = error.name === "AbortError";
      if (!isStopped && !(error instanceof Problem)) throw error;
      turn.note(isStopped ? "stopped" : error.message, isStopped ? "" : "red");
    } finally {
      clearInterval(clock);
      this.stopping = null;
      this.figures.textContent = figures.words();
    }
    const answer = turn.text.data;
    // A chat in which two questions follow each other is refused by many models.
    if (answer) said.push({ role: "user", content: text }, { role: "assistant", content: answer });
    return answer !== "";
  }

  async receive(turn, figures) {
    let hasBegun = false;
    const options = { csrf: this.csrf, signal: this.stopping.signal };
    for await (const { name, data } of ask(this.url, this.last, options)) {
      if (name === "failed") throw new Problem(String(data.message));
      if (name === "waiting" && !hasBegun) {
        turn.asleep = data.asleep;
        figures.waited(performance.now(), data.asleep);
      } else if (name === "began") hasBegun = true;
      else if (data.error) throw new Problem(String(data.error.message ?? "The model failed."));
      else this.take(turn, figures, data);
    }
    if (!hasBegun) throw new Problem("The connection to the server broke off.");
    if (turn.text.data || turn.thought) turn.note("");
    else turn.note("The answer is empty.");
  }

  take(turn, figures, data) {
    figures.used(data.usage);
    const said = data.choices?.[0]?.delta ?? data.choices?.[0]?.message;
    const thought = said?.reasoning_content ?? said?.reasoning;
    if (typeof thought === "string" && thought) this.write(turn, figures, turn.thoughts(), thought);
    if (typeof said?.content === "string" && said.content) this.write(turn, figures, turn.text, said.content);
  }

  write(turn, figures, node, text) {
    if (figures.first === null) turn.note("");
    figures.wrote(performance.now());
    const isAtEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END_PX;
    node.appendData(text);
    if (isAtEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  // While nothing has come, how long that is.
  clock(turn, figures) {
    const show = () => {
      if (figures.first !== null) return;
      const length = Math.round((performance.now() - figures.asked) / 1000);
      if (length < 1) turn.note("asking");
      else turn.note(`${turn.asleep ? "waking up" : "waiting"}, ${length} s so far`);
    };
    show();
    return setInterval(show, 500);
  }

  add(role, who, text) {
    const turn = new Turn(this.log, role, who, text);
    this.log.scrollTop = this.log.scrollHeight;
    return turn;
  }

  stop() {
    this.stopping?.abort();
  }

  clear() {
    this.stop();
    this.said = [];
    this.last = null;
    this.log.replaceChildren();
    this.figures.textContent = "";
  }
}
