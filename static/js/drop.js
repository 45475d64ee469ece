// What a person drops on an element: its folders are walked, its files given with their paths.
import { RULES } from "./sieve.js";

const ARCHIVE = /\.(zip|tar|tar\.gz|tgz)$/i;

const promised = (entry, method) =>
  new Promise((resolve, reject) => entry[method](resolve, reject));

async function children(folder) {
  const reader = folder.createReader();
  const found = [];
  // A browser gives a hundred at a time, and nothing after the last.
  for (let some; (some = await promised(reader, "readEntries")).length; ) found.push(...some);
  return found;
}

async function readRules(entry, sieve) {
  if (entry.isFile && entry.name === RULES) await sieve.read(await promised(entry, "file"));
}

// `sieve` says which folders need not be walked, once it has read the rules that lie above them.
async function walk(entry, path, sieve) {
  if (entry.isFile) return [[path, await promised(entry, "file")]];
  if (path && sieve.skips(path, true)) return [];
  const found = [];
  const inside = await children(entry);
  for (const child of inside) await readRules(child, sieve);
  for (const child of inside) {
    found.push(...(await walk(child, path ? `${path}/${child.name}` : child.name, sieve)));
  }
  return found;
}

// One folder gives its content, one archive itself, anything else lies side by side.
async function taken(entries, sieve) {
  const [first] = entries;
  if (entries.length === 1 && first.isFile && ARCHIVE.test(first.name)) {
    return { archive: await promised(first, "file") };
  }
  if (entries.length === 1 && first.isDirectory) return { files: await walk(first, "", sieve) };
  const found = [];
  for (const entry of entries) await readRules(entry, sieve);
  for (const entry of entries) found.push(...(await walk(entry, entry.name, sieve)));
  return { files: found };
}

export function onDrop(place, take) {
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

  place.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    place.dataset.dropping = "";
  });
  place.addEventListener("dragleave", (event) => {
    if (!place.contains(event.relatedTarget)) delete place.dataset.dropping;
  });
  place.addEventListener("drop", (event) => {
    delete place.dataset.dropping;
    if (!holdsFiles(event)) return;
    event.preventDefault();
    // The list is empty once this handler has returned.
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
    const entries = items.map((item) => item.webkitGetAsEntry()).filter(Boolean);
    if (entries.length) take((sieve) => taken(entries, sieve));
  });
}
