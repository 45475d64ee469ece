// What is measured of an answer, here in the page: the time to its first token, and how fast it was
// written. How many tokens it has only the model knows, so without its word speed is not measured.
export class Figures {
  constructor(now) {
    this.asked = now;
    this.wokenAt = null;
    this.first = null;
    this.last = null;
    this.tokens = null;
  }

  waited(now, asleep) {
    if (asleep) this.wokenAt = now;
  }

  wrote(now) {
    this.first ??= now;
    this.last = now;
  }

  used(usage) {
    if (Number.isInteger(usage?.completion_tokens)) this.tokens = usage.completion_tokens;
  }

  words() {
    if (this.first === null) return "";
    const waking = this.wokenAt === null ? "" : `, ${seconds(this.wokenAt - this.asked)} of it waking up`;
    const parts = [`first token ${seconds(this.first - this.asked)}${waking}`, this.speed()];
    if (this.tokens !== null) parts.push(`${this.tokens} token${this.tokens === 1 ? "" : "s"}`);
    return parts.join(" · ");
  }

  // The first token came when the time begins.
  speed() {
    const length = (this.last - this.first) / 1000;
    if (this.tokens === null || this.tokens < 2 || length <= 0) return "tokens/s not measured";
    return `${((this.tokens - 1) / length).toFixed(1)} tokens/s`;
  }
}

export function seconds(milliseconds) {
  return milliseconds < 999.5 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
