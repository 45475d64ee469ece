// [data-charts]: draws what data-charts-url answers, again whenever the page hears of new figures.
import uPlot from "../vendor/uplot.js";
import { CHARTS, options } from "./chart-kinds.js";

const LOOK_MS = 10000;
const GATHER_MS = 3000;

class Charts {
  constructor(card) {
    this.card = card;
    this.plots = [];
    this.fetch();
  }

  async fetch() {
    try {
      const response = await fetch(this.card.dataset.chartsUrl, { credentials: "same-origin" });
      if (response.ok && !response.redirected) this.draw(await response.json());
    } catch {
      // The server is away: the next hint or look draws again.
    }
  }

  draw(data = this.data) {
    if (!data || !this.card.isConnected) return;
    this.data = data;
    this.plots.splice(0).forEach((plot) => plot.destroy());
    const range = data.range;
    const shown = {
      tokens: "hasModel" in this.card.dataset || data.tokens_in.some((value) => value != null),
      gpu: data.resources.some((each) => each.gpu_memory_bytes.some((value) => value != null)),
    };
    for (const card of this.card.querySelectorAll("[data-chart-card]")) card.hidden = !shown[card.dataset.chartCard];
    for (const box of this.card.querySelectorAll("[data-chart]")) {
      const chart = CHARTS[box.dataset.chart](data);
      const isEmpty = !chart.values.slice(1).some((values) => values.some((value) => value != null && value > 0));
      box.replaceChildren();
      if (box.offsetParent) this.plots.push(new uPlot(options(box, chart, range), chart.values, box));
      if (isEmpty) box.append(Object.assign(document.createElement("p"), { className: "chart-none", textContent: chart.none ?? "Nothing in this time." }));
    }
  }
}

let charts = null;
let waiting = null;

function find() {
  const card = document.querySelector("[data-charts]");
  if (card && charts?.card !== card) charts = new Charts(card);
  else charts?.draw();
}

function soon() {
  waiting ??= setTimeout(() => {
    waiting = null;
    charts?.fetch();
  }, GATHER_MS);
}

document.body.addEventListener("htmx:afterSettle", (event) => {
  // Of a service's page the charts stay as they are, unless these are the first.
  if (event.target.closest("#metrics, #decisions") || !charts?.card.isConnected) find();
});
document.body.addEventListener("live:metrics", soon);
document.body.addEventListener("live", soon);
addEventListener("resize", () => charts?.draw());
new MutationObserver(() => charts?.draw()).observe(document.documentElement, { attributeFilter: ["data-bs-theme", "data-theme"] });
setInterval(() => !document.hidden && charts?.fetch(), LOOK_MS);
find();
