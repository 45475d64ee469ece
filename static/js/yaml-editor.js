// [data-editor]: puts CodeMirror over the text area, which stays what the form sends. What the
// server finds wrong comes back in data-marks of the plan, and is marked at its line.
const INPUT = new Event("input", { bubbles: true });

async function enhance(card) {
  const area = card.querySelector("textarea");
  const form = area.form;
  const { mount } = await import(card.dataset.editorSrc);
  const editor = mount({
    parent: card.querySelector("[data-editor-place]"),
    text: area.value,
    label: card.querySelector("h2").textContent,
    nonce: card.dataset.nonce,
    onChange(text) {
      area.value = text;
      plan().dataset.stale = "";
      area.dispatchEvent(INPUT);
    },
  });
  const plan = () => document.querySelector(card.dataset.plan);
  const mark = () => editor.mark(JSON.parse(plan().dataset.marks || "[]"));

  document.body.addEventListener("htmx:afterSettle", mark);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-goto-line]");
    if (button) editor.goTo(Number(button.dataset.gotoLine));
  });
  form.addEventListener("input", (event) => {
    if (event.target.name?.startsWith("env.")) plan().dataset.stale = "";
  });
  form.addEventListener("submit", (event) => {
    // Enter in a field must not deploy by chance, nor what was not looked at.
    const asked = event.submitter && "deploy" in event.submitter.dataset;
    if (!asked || "stale" in plan().dataset) event.preventDefault();
  });
  const chooser = form.querySelector('input[name="yaml_file"]');
  chooser.addEventListener("change", async () => {
    const [file] = chooser.files;
    if (file) editor.replace(await file.text());
    chooser.value = "";
  });
  mark();
  editor.focus();
}

document.documentElement.dataset.hasJs = "";
document.querySelectorAll("[data-editor]").forEach(enhance);
