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

async function copyPackages() {
  for (const [name, source] of Object.entries(COPIES)) {
    await copyFile(join(modules, source), join(vendor, name));
  }
}

// Only the icons that a template or a tag names: `{% icon "rocket" %}`, `icon="rocket"`.
async function usedIcons() {
  const names = new Set();
  const files = (await readdir(templates, { recursive: true })).filter((name) => name.endsWith(".html"));
  const sources = await Promise.all(files.map((name) => readFile(join(templates, name), "utf8")));
  const frame = await readFile(join(here, "..", "dstack_web", "frame.py"), "utf8");
  for (const match of frame.matchAll(/, "([a-z0-9-]+)", "[A-Z]/g)) names.add(match[1]);
  const states = await readFile(join(here, "..", "apps", "core", "templatetags", "ui.py"), "utf8");
  for (const match of states.matchAll(/\("(?:green|blue|grey|amber|red)", "([a-z0-9-]+)"/g)) names.add(match[1]);
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
  await build({
    entryPoints: [join(here, "src", "editor.js")],
    outfile: join(vendor, "editor.js"),
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
  });
}

await rm(vendor, { recursive: true, force: true });
await mkdir(vendor, { recursive: true });
await Promise.all([copyPackages(), writeSprite(), bundleEditor()]);
