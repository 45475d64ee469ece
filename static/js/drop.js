// What a person drops on an element: its folders are walked, its files given with their paths.
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

async function walk(entry, path, isSkipped) {
  if (isSkipped(entry.name)) return [];
  if (entry.isFile) return [[path, await promised(entry, "file")]];
  const found = [];
  for (const child of await children(entry)) {
    found.push(...(await walk(child, path ? `${path}/${child.name}` : child.name, isSkipped)));
  }
  return found;
}

// One folder gives its content, one archive itself, anything else lies side by side.
async function taken(entries, isSkipped) {
  const [first] = entries;
  if (entries.length === 1 && first.isFile && ARCHIVE.test(first.name)) {
    return { archive: await promised(first, "file") };
  }
  if (entries.length === 1 && first.isDirectory) return { files: await walk(first, "", isSkipped) };
  const found = [];
  for (const entry of entries) found.push(...(await walk(entry, entry.name, isSkipped)));
  return { files: found };
}

export function onDrop(place, isSkipped, take) {
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
    if (entries.length) take(() => taken(entries, isSkipped));
  });
}
