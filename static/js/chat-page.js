// form[data-playground]: one message to one model or two, each in its own column.
import { Code } from "./chat-code.js";
import { Column } from "./chat-column.js";

const EXAMPLE = "Say hello.";

const form = document.querySelector("[data-playground]");
if (form) start();

function start() {
  const csrf = form.elements.csrfmiddlewaretoken.value;
  const { chatUrl, codeUrl, keyUrl } = form.dataset;
  const columns = [...form.querySelectorAll("[data-column]")].map(
    (element) => new Column(element, { url: chatUrl, csrf }),
  );
  const code = new Code(document.querySelector("[data-code]"), { codeUrl, keyUrl, csrf });
  const message = form.querySelector("[data-message]");
  const second = document.querySelector("[data-second]");
  const shown = () => columns.filter((column) => column.isShown);

  function settings() {
    const found = { system: form.querySelector("[data-system]").value.trim() };
    for (const field of form.querySelectorAll("[data-number]")) {
      if (field.value !== "") found[field.dataset.number] = Number(field.value);
    }
    return found;
  }

  async function send() {
    const text = message.value.trim();
    if (!text || isBusy() || !form.reportValidity()) return;
    message.value = "";
    const asked = settings();
    const answers = shown().map((column) => column.send(asked, text));
    busy(true);
    code.changed();
    const got = await Promise.all(answers).finally(() => busy(false));
    // What nobody has answered need not be typed again.
    if (!got.some(Boolean) && message.value === "") message.value = text;
  }

  const isBusy = () => columns.some((column) => column.stopping);

  function busy(is) {
    form.querySelector("[data-send]").hidden = is;
    form.querySelector("[data-stop]").hidden = !is;
    if (!is && matchMedia("(pointer: fine)").matches) message.focus();
  }

  const stop = () => columns.forEach((column) => column.stop());

  // How each model is, as the page last heard, and in its address which they are.
  function mark() {
    const states = [...document.querySelectorAll("[data-state-of]")];
    for (const column of columns) {
      const found = states.find((state) => state.dataset.stateOf === column.model);
      const place = column.element.querySelector("[data-state]");
      if (found) place.replaceChildren(...[...found.childNodes].map((node) => node.cloneNode(true)));
      else place.textContent = "offered no more";
    }
    const [model, beside] = shown().map((column) => column.model);
    const asked = new URLSearchParams(beside === undefined ? { model } : { model, beside });
    history.replaceState(history.state, "", `?${asked}`);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isBusy()) stop();
  });
  form.querySelector("[data-stop]").addEventListener("click", stop);
  document.querySelector("[data-clear]").addEventListener("click", () => {
    columns.forEach((column) => column.clear());
    message.focus();
  });
  second.addEventListener("click", () => {
    const other = columns[1];
    other.stop();
    other.element.hidden = !other.element.hidden;
    second.setAttribute("aria-pressed", String(other.isShown));
    mark();
  });
  form.addEventListener("change", () => {
    mark();
    code.changed();
  });
  form.addEventListener("input", () => code.changed());
  for (const column of columns) {
    column.element.querySelector("[data-show-code]").addEventListener("click", () => {
      code.open(() => {
        const text = message.value.trim();
        const isNew = text || column.last?.model !== column.model;
        return isNew ? column.call(settings(), text || EXAMPLE) : column.last;
      });
    });
  }
  document.body.addEventListener("htmx:afterSettle", mark);
  mark();
}
