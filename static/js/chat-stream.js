// Asks a model through the server, and yields what comes as events {name, data}: those of the
// server (waiting, began, failed), and the model's own, which have no name.
const ENDS = /\r\n|\n|\r(?!$)/;
const NOT_NOW = "The server did not answer. Try again.";

// One that is to be shown to the person as it is.
export class Problem extends Error {}

export async function post(url, body, { csrf, signal } = {}) {
  let answer;
  try {
    answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": csrf },
      body: JSON.stringify(body),
      redirect: "manual",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(NOT_NOW);
  }
  if (answer.type === "opaqueredirect") throw new Problem("Your session is over. Sign in again.");
  if (!answer.ok) throw new Problem(await reason(answer));
  return answer;
}

async function reason(answer) {
  try {
    return (await answer.json()).message || NOT_NOW;
  } catch {
    return answer.status === 403 ? "This page is too old. Load it again." : NOT_NOW;
  }
}

export async function* ask(url, body, options) {
  const answer = await post(url, body, options);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { name: "", data: [] };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(ENDS);
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("event:")) event.name = line.slice(6).trim();
        else if (line.startsWith("data:")) event.data.push(line.slice(5));
        else if (line === "") {
          if (event.data.length) yield { name: event.name, data: parsed(event.data.join("\n")) };
          event = { name: "", data: [] };
        }
      }
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The connection to the server broke off.");
  }
}

// [DONE], and whatever else is no object, says nothing.
function parsed(text) {
  try {
    const found = JSON.parse(text);
    return found && typeof found === "object" ? found : {};
  } catch {
    return {};
  }
}
