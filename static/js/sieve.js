// What stays out of an upload by its name. The names come from the server: there is one list.
export const RULES = ".dstackignore";

// Knows what stays out of an upload by its name, so that it is not sent. Rules that bring a name
// back let it pass: whether they mean this one is for the server to say.
export class Sieve {
  constructor(list) {
    this.folders = new Set(list.folders);
    this.files = new Set(list.files);
    this.skipped = new Set();
  }

  async read(file) {
    const back = (await file.text()).split("\n").filter((line) => line.trim().startsWith("!"));
    for (const names of [this.folders, this.files]) {
      for (const name of names) if (back.some((line) => line.includes(name))) names.delete(name);
    }
  }

  skips(path, isFolder) {
    const name = path.split("/").at(-1);
    if (!(isFolder ? this.folders : this.files).has(name)) return false;
    this.skipped.add(path);
    return true;
  }

  skipsWithin(path) {
    const steps = path.split("/");
    const above = steps.slice(0, -1).map((_, at) => steps.slice(0, at + 1).join("/"));
    return above.some((folder) => this.skips(folder, true)) || this.skips(path, false);
  }
}
