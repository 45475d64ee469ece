// One turn of a chat as the page shows it: who, what they said as plain text, and a note below it.
export class Turn {
  constructor(log, role, who, text) {
    this.asleep = false;
    this.thought = null;
    this.body = made("div", "turn-text");
    this.text = document.createTextNode(text);
    this.body.append(this.text);
    this.below = made("p", "turn-note");
    const name = made("span", "turn-who");
    name.textContent = who;
    const item = made("li", "turn");
    item.dataset.role = role;
    item.append(name, this.body, this.below);
    log.append(item);
  }

  // What a model thinks before it answers stands above the answer.
  thoughts() {
    if (this.thought) return this.thought;
    const place = made("div", "turn-thought");
    this.thought = document.createTextNode("");
    place.append(this.thought);
    this.body.before(place);
    return this.thought;
  }

  note(text, tone = "") {
    if (this.below.textContent !== text) this.below.textContent = text;
    this.below.dataset.tone = tone;
  }
}

function made(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
