// [data-files]: sends a chosen or dropped folder (packed as a tar here) or archive, and shows what
// arrived.
import { onDrop } from "./drop.js";

const SKIPPED = new Set([".git", "node_modules", ".venv", "venv", "__pycache__", ".mypy_cache"]);
const BLOCK = 512;
const encoder = new TextEncoder();

function field(header, offset, length, text) {
  header.set(encoder.encode(text).subarray(0, length), offset);
}

function octal(header, offset, length, number) {
  field(header, offset, length, number.toString(8).padStart(length - 1, "0") + "\0");
}

// The first day that a zip can hold in whatever zone.
const EARLIEST = 315619200;

function tarHeader(name, size, type, time = 0) {
  const header = new Uint8Array(BLOCK);
  field(header, 0, 100, name);
  octal(header, 100, 8, 0o644);
  octal(header, 108, 8, 0);
  octal(header, 116, 8, 0);
  octal(header, 124, 12, size);
  octal(header, 136, 12, Math.max(Math.floor(time), EARLIEST));
  header.fill(32, 148, 156);
  field(header, 156, 1, type);
  field(header, 257, 8, "ustar\u000000");
  const sum = header.reduce((total, byte) => total + byte, 0);
  field(header, 148, 8, `${sum.toString(8).padStart(6, "0")}\0 `);
  return header;
}

const padding = (size) => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);

// GNU's long name entry goes before each file: any length, any letters.
function tarEntry(path, file) {
  const name = encoder.encode(`${path}\0`);
  return [
    tarHeader("././@LongLink", name.length, "L"),
    name,
    padding(name.length),
    tarHeader("long", file.size, "0", file.lastModified / 1000),
    file,
    padding(file.size),
  ];
}

const chosen = (files) =>
  files.map((file) => [file.webkitRelativePath.split("/").slice(1).join("/"), file]);

// `files` are pairs of a path inside the folder and a file.
function packFolder(files) {
  const parts = [];
  for (const [path, file] of files) {
    if (!path || path.split("/").some((step) => SKIPPED.has(step))) continue;
    parts.push(...tarEntry(path, file));
  }
  if (!parts.length) throw new Error("There is no file in this folder.");
  return new File([...parts, new Uint8Array(2 * BLOCK)], "folder.tar");
}

function send(url, file, headers, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const body = new FormData();
    body.append("archive", file);
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
    request.addEventListener("error", () => reject(new Error("The server did not answer.")));
    request.addEventListener("load", () => {
      if (request.status < 300) return resolve(request.responseText);
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const said = page.querySelector(".toast-text span")?.textContent;
      return reject(new Error(said || `The server refused the files (${request.status}).`));
    });
    request.send(body);
  });
}

function enhance(box) {
  const progress = box.querySelector("[data-files-progress]");
  const problem = box.querySelector("[data-files-error]");
  const form = box.closest("form");
  const headers = {
    "X-CSRFToken": form.querySelector('input[name="csrfmiddlewaretoken"]').value,
    "HX-Request": "true",
  };
  const planNow = () => form.dispatchEvent(new Event("plan:now"));

  function show(html) {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    box.querySelector("#files").replaceWith(parsed.querySelector("#files"));
    planNow();
  }

  async function upload(make) {
    problem.hidden = true;
    progress.hidden = false;
    try {
      const done = (part) => (progress.value = part * 100);
      show(await send(box.dataset.filesUrl, await make(), headers, done));
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
    progress.hidden = true;
  }

  box.querySelectorAll("[data-needs-js]").forEach((element) => (element.hidden = false));
  box.addEventListener("change", (event) => {
    event.stopPropagation();
    const input = event.target;
    const files = [...input.files];
    if (!files.length) return;
    upload(() => ("filesFolder" in input.dataset ? packFolder(chosen(files)) : files[0]));
    input.value = "";
  });
  onDrop(
    box.closest(".card"),
    (name) => SKIPPED.has(name),
    (take) =>
      upload(async () => {
        const { archive, files } = await take();
        return archive ?? packFolder(files);
      }),
  );
  box.addEventListener("input", (event) => event.stopPropagation());
  box.addEventListener("click", (event) => {
    if (!event.target.closest("[data-files-clear]")) return;
    box.querySelector("#files").replaceChildren();
    planNow();
  });
}

document.querySelectorAll("[data-files]").forEach(enhance);
