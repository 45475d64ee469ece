// [data-editor]: puts CodeMirror over the text area, which stays what the form sends. What the
// server finds wrong comes back in data-marks of the plan, and is marked at its line.
const MOST_BYTES = 2 ** 20;
const INPUT = new Event("input", { bubbles: true });

// A file that is dropped anywhere on the card is opened; the editor itself would insert its text.
function takeFiles(card, open) {
  const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
  const say = (text) => {
    const problem = card.querySelector("[data-editor-error]");
    problem.textContent = text;
    problem.hidden = !text;
  };

  card.addEventListener("dragover", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    card.dataset.dropping = "";
  });
  card.addEventListener("dragleave", (event) => {
    if (!card.contains(event.relatedTarget)) delete card.dataset.dropping;
  });
  card.addEventListener(
    "drop",
    (event) => {
      delete card.dataset.dropping;
      if (!holdsFile(event)) return;
      event.preventDefault();
      event.stopPropagation();
      const [file, ...more] = event.dataTransfer.files;
      if (more.length || !/\.ya?ml$/i.test(file?.name ?? "")) return say("Drop one file that ends with .yml or .yaml here.");
      if (file.size > MOST_BYTES) return say("This file is larger than 1 MB.");
      say("");
      open(file);
    },
    { capture: true },
  );
}

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
  takeFiles(card, async (file) => editor.replace(await file.text()));
  mark();
  editor.focus();
}

document.documentElement.dataset.hasJs = "";
document.querySelectorAll("[data-editor]").forEach(enhance);
