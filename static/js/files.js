// [data-files]: sends a chosen or dropped folder (packed as a tar here) or archive, and shows what
// arrived.
import { onDrop } from "./drop.js";
import { RULES, Sieve } from "./sieve.js";
import { tar, tarEntry } from "./tar.js";

const chosen = (files) =>
  files.map((file) => [file.webkitRelativePath.split("/").slice(1).join("/"), file]);

// `files` are pairs of a path inside the folder and a file.
async function packFolder(files, sieve) {
  for (const [path, file] of files) if (path.split("/").at(-1) === RULES) await sieve.read(file);
  const parts = [];
  for (const [path, file] of files) {
    if (path && !sieve.skipsWithin(path)) parts.push(...tarEntry(path, file));
  }
  if (!parts.length) throw new Error("There is no file in this folder.");
  return tar(parts);
}

function send(url, file, skipped, headers, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const body = new FormData();
    body.append("archive", file);
    body.append("left_out", [...skipped].join("\n"));
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

  // `make` gives the archive to send; what it leaves out it tells the sieve.
  async function upload(make) {
    problem.hidden = true;
    progress.hidden = false;
    try {
      const done = (part) => (progress.value = part * 100);
      const sieve = new Sieve(JSON.parse(box.dataset.filesLeftOut));
      const archive = await make(sieve);
      show(await send(box.dataset.filesUrl, archive, sieve.skipped, headers, done));
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
    const isFolder = "filesFolder" in input.dataset;
    upload((sieve) => (isFolder ? packFolder(chosen(files), sieve) : files[0]));
    input.value = "";
  });
  onDrop(box.closest(".card"), (take) =>
    upload(async (sieve) => {
      const { archive, files } = await take(sieve);
      return archive ?? packFolder(files, sieve);
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
