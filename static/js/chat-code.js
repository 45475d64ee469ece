// The call of a chat in code. A key that is made here is known to this page alone: the server writes
// the code with a word in its place.
import { post, Problem } from "./chat-stream.js";

const GATHER_MS = 300;

export class Code {
  constructor(card, { codeUrl, keyUrl, csrf }) {
    Object.assign(this, { card, codeUrl, keyUrl, csrf });
    this.keys = new Map();
    this.shown = 0;
    this.find("make-key").addEventListener("click", () => this.guarded(() => this.makeKey()));
  }

  find(name) {
    return this.card.querySelector(`[data-${name}]`);
  }

  // `call` gives the body of the call that is to be shown.
  open(call) {
    this.call = call;
    this.card.hidden = false;
    this.card.scrollIntoView({ block: "nearest" });
    this.guarded(() => this.show());
  }

  // Something changed that the code may say.
  changed() {
    clearTimeout(this.waiting);
    if (!this.card.hidden) this.waiting = setTimeout(() => this.guarded(() => this.show()), GATHER_MS);
  }

  async show() {
    const call = this.call();
    const made = this.keys.get(call.model);
    const turn = ++this.shown;
    const answer = await post(`${this.codeUrl}${made ? "?key=1" : ""}`, call, { csrf: this.csrf });
    const { snippets, stands_for_key: word } = await answer.json();
    if (turn !== this.shown) return;
    for (const { key, code } of snippets) {
      const text = made ? code.replaceAll(word, made.key) : code;
      this.card.querySelector(`[data-snippet="${key}"] pre`).textContent = text;
    }
    this.find("code-model").textContent = call.model;
    this.find("key-note").hidden = !made;
    this.find("make-key").hidden = Boolean(made);
    this.find("token-hint").hidden = Boolean(made);
    this.find("key-run").textContent = made?.run ?? "";
    this.card.querySelector("#made-key").textContent = made?.key ?? "";
  }

  async makeKey() {
    const { model } = this.call();
    const button = this.find("make-key");
    button.disabled = true;
    try {
      const url = `${this.keyUrl}?model=${encodeURIComponent(model)}`;
      this.keys.set(model, await (await post(url, {}, { csrf: this.csrf })).json());
    } finally {
      button.disabled = false;
    }
    await this.show();
  }

  async guarded(action) {
    const problem = this.find("code-problem");
    try {
      await action();
      problem.hidden = true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
    }
  }
}
