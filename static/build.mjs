// Copies and bundles what the pages use of the installed packages into vendor/.
// Run it by `npm ci --prefix static && npm run --prefix static build`; then `manage.py collectstatic`.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "node_modules");
const vendor = join(here, "vendor");
const templates = join(here, "..", "templates");

const COPIES = {
  "htmx.min.js": "htmx.org/dist/htmx.min.js",
  "idiomorph.min.js": "idiomorph/dist/idiomorph-ext.min.js",
  "uplot.js": "uplot/dist/uPlot.esm.js",
  "uplot.css": "uplot/dist/uPlot.min.css",
  "tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
  "inter.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
  "inter-ext.woff2": "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2",
  "mono.woff2": "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2",
};

// The maps of sources are not served, and `collectstatic` wants every file that is named.
const MAP = /^(\/\*|\/\/)# sourceMappingURL=.*$/m;

async function copyPackages() {
  for (const [name, source] of Object.entries(COPIES)) {
    const [from, to] = [join(modules, source), join(vendor, name)];
    if (name.endsWith(".woff2")) await copyFile(from, to);
    else await writeFile(to, (await readFile(from, "utf8")).replace(MAP, ""));
  }
}

// What the licences of packages ask for whose code or fonts we hand on: their notices.
async function writeNotices(bundled) {
  const named = [...Object.values(COPIES), "@tabler/icons/", ...bundled].map(packageOf);
  const notices = [];
  for (const name of [...new Set(named)].sort()) {
    const folder = join(modules, name);
    const about = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((found) => /^licen[cs]e/i.test(found));
    const text = file ? await readFile(join(folder, file), "utf8") : await headOf(name);
    notices.push(`${name} ${about.version} (${about.license})\n\n${text.trim()}\n`);
  }
  await writeFile(join(vendor, "licenses.txt"), notices.join(`\n${"-".repeat(72)}\n\n`));
}

function packageOf(path) {
  return path.match(/^(@[^/]+\/)?[^/]+/)[0];
}

// A package without a file of its licence says it at the head of what is copied.
async function headOf(name) {
  const copied = Object.values(COPIES).find((source) => packageOf(source) === name);
  const head = copied && (await readFile(join(modules, copied), "utf8")).match(/\/\*!([^]*?)\*\//);
  if (!head) throw new Error(`${name} has no text of its licence: add one`);
  return head[1].replace(/^ \* ?/gm, "");
}

async function textsOfStates() {
  const apps = join(here, "..", "apps");
  const names = (await readdir(apps, { recursive: true })).filter((name) => /(^|\/)states\.py$/.test(name));
  return Promise.all(names.map((name) => readFile(join(apps, name), "utf8")));
}

// Only the icons that a template, a tag or a state names: `{% icon "rocket" %}`, `icon="rocket"`, `Look(..., "moon")`.
async function usedIcons() {
  const names = new Set();
  const files = (await readdir(templates, { recursive: true })).filter((name) => name.endsWith(".html"));
  const sources = await Promise.all(files.map((name) => readFile(join(templates, name), "utf8")));
  const frame = await readFile(join(here, "..", "dstack_web", "web", "frame.py"), "utf8");
  for (const match of frame.matchAll(/, "([a-z0-9-]+)", "[A-Z]/g)) names.add(match[1]);
  for (const text of await textsOfStates()) {
    for (const match of text.matchAll(/Look\("[a-z]+", "[^"]+", "([a-z0-9-]+)"\)/g)) names.add(match[1]);
  }
  for (const text of sources) {
    for (const match of text.matchAll(/(?:{% icon |\sicon=)"([a-z0-9-]+)"/g)) names.add(match[1]);
  }
  return [...names].sort();
}

async function writeSprite() {
  const symbols = [];
  for (const name of await usedIcons()) {
    const filled = name.endsWith("-filled");
    const file = filled ? join("filled", name.replace(/-filled$/, "")) : join("outline", name);
    const svg = await readFile(join(modules, "@tabler/icons/icons", `${file}.svg`), "utf8");
    const body = svg.slice(svg.indexOf(">", svg.indexOf("<svg")) + 1, svg.lastIndexOf("</svg>"));
    const paint = filled
      ? 'fill="currentColor"'
      : 'fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"';
    symbols.push(`<symbol id="${name}" viewBox="0 0 24 24" ${paint}>${body.replace(/\s+/g, " ").trim()}</symbol>`);
  }
  const sprite = `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("\n")}</svg>\n`;
  await writeFile(join(vendor, "icons.svg"), sprite);
}

async function bundleEditor() {
  const { metafile } = await build({
    metafile: true,
    entryPoints: [join(here, "src", "editor.js")],
    outfile: join(vendor, "editor.js"),
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
  });
  const inputs = Object.keys(metafile.inputs).map((path) => path.split("node_modules/").at(-1));
  return inputs.filter((path) => !path.includes("src/editor.js"));
}

await rm(vendor, { recursive: true, force: true });
await mkdir(vendor, { recursive: true });
const [bundled] = await Promise.all([bundleEditor(), copyPackages(), writeSprite()]);
await writeNotices(bundled);
