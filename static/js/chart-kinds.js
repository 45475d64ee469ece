// What each chart of a service shows: series and values for uPlot out of the figures of the server.
// Colours come from the page's custom properties, so the charts follow the theme.
import uPlot from "../vendor/uplot.js";

const HEIGHT = 190;
const HUES = 8;
const STATUS = [["5xx", "--red"], ["4xx", "--amber"], ["3xx", "--grey"], ["2xx", "--green"]];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const number = (value) => (value == null ? "—" : short.format(value));
// Marks of an axis of bytes stand at round numbers of their units.
const BINARY = Array.from({ length: 45 }, (_, power) => 2 ** power);
const UNITS = ["bytes", "KB", "MB", "GB", "TB"];
const bytes = (value) => {
  if (value == null) return "—";
  const unit = value < 1 ? 0 : Math.min(Math.floor(Math.log2(value) / 10), UNITS.length - 1);
  return `${short.format(value / 1024 ** unit)} ${UNITS[unit]}`;
};
const time = (ms) => (ms == null ? "—" : ms >= 1000 ? `${short.format(ms / 1000)} s` : `${short.format(ms)} ms`);

function line(label, name, more = {}) {
  const stroke = colour(name);
  return { label, stroke, width: 1.5, points: { show: false }, value: (_, value) => number(value), ...more };
}

// Areas lie upon each other: each is drawn as the sum of those below it and itself.
function stacked(data) {
  const sums = [];
  let below = data.at.map(() => 0);
  for (const [name] of STATUS) {
    below = below.map((value, index) => value + data.by_class[name][index]);
    sums.unshift(below);
  }
  const series = [...STATUS].reverse().map(([label, name]) =>
    line(label, name, {
      width: data.by_class[label].some(Boolean) ? 1.5 : 0,
      fill: `color-mix(in srgb, ${colour(name)} 40%, ${colour("--surface")})`,
      value: (_, __, ___, index) => number(index == null ? null : data.by_class[label][index]),
    }),
  );
  return { series, values: [data.at, ...sums] };
}

function decisions() {
  return [...document.querySelectorAll("[data-decision]")].map((row) => ({
    at: Number(row.dataset.decision),
    wanted: Number(row.dataset.wanted),
    isMute: ["limit", "blind", "project"].includes(row.dataset.kind),
  }));
}

function dots(plot) {
  const { ctx } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
  ctx.clip();
  for (const { at, wanted, isMute } of decisions()) {
    ctx.beginPath();
    ctx.arc(plot.valToPos(at, "x", true), plot.valToPos(wanted, "y", true), 3.5 * devicePixelRatio, 0, 7);
    ctx.fillStyle = colour(isMute ? "--amber" : "--accent");
    ctx.fill();
  }
  ctx.restore();
}

// One line a replica; where they are too many to tell apart, their mean and the most of them.
function byReplica(data, name, { write = number, limit = "" } = {}) {
  const told = data.resources.filter((each) => each[name].some((value) => value != null));
  const more = { value: (_, value) => write(value), spanGaps: false };
  const across = (sum) =>
    data.at.map((_, index) => {
      const values = told.map((each) => each[name][index]).filter((value) => value != null);
      return values.length ? sum(values) : null;
    });
  const lines = told.length > HUES
    ? [[line(`the most of ${told.length}`, "--amber", more), across((values) => Math.max(...values))],
       [line("mean", "--accent", more), across((values) => values.reduce((a, b) => a + b) / values.length)]]
    : told.map((each) => [line(`replica ${each.replica}`, `--hue-${each.replica % HUES}`, more), each[name]]);
  const limits = limit ? data.at.map((_, index) => Math.max(...told.map((each) => each[limit][index] ?? 0)) || null) : [];
  if (limits.some(Boolean)) lines.push([line("limit", "--red", { ...more, dash: [4, 3] }), limits]);
  return {
    series: lines.map(([series]) => series),
    values: [data.at, ...lines.map(([, values]) => values)],
    axis: write,
    ...(write === bytes && { steps: BINARY }),
  };
}

export const CHARTS = {
  cpu: (data) => byReplica(data, "cpu_cores"),
  memory: (data) => byReplica(data, "memory_bytes", { write: bytes, limit: "memory_limit_bytes" }),
  disk: (data) => byReplica(data, "disk_bytes", { write: bytes }),
  gpu: (data) => byReplica(data, "gpu_percent", { write: (value) => (value == null ? "—" : `${short.format(value)} %`) }),
  gpuMemory: (data) => byReplica(data, "gpu_memory_bytes", { write: bytes }),
  requests: (data) => stacked(data),
  latency: (data) => ({
    series: [["p50", "--green"], ["p95", "--accent"], ["p99", "--amber"]].map(([label, name]) =>
      line(label, name, { value: (_, ms) => time(ms), spanGaps: false, points: { show: true, size: 4 } }),
    ),
    values: [data.at, data.p50_ms, data.p95_ms, data.p99_ms],
    axis: (ms) => time(ms),
  }),
  load: (data) => ({
    series: [line("in flight", "--accent"), line("held", "--amber")],
    values: [data.at, data.in_flight, data.held],
  }),
  replicas: (data) => {
    const paths = uPlot.paths.stepped({ align: 1 });
    return {
      series: [
        line("ready", "--green", { paths, fill: `color-mix(in srgb, ${colour("--green")} 25%, transparent)` }),
        line("wanted", "--accent", { paths, dash: [4, 3] }),
      ],
      values: [data.replicas.at, data.replicas.ready, data.replicas.wanted],
      whole: true,
      draw: dots,
    };
  },
  tokens: (data) => ({
    // No line where no answer said its tokens: that is not 0.
    series: [["in", "--accent"], ["out", "--green"]].map(([label, name]) =>
      line(label, name, { spanGaps: false, points: { show: true, size: 4 } }),
    ),
    values: [data.at, data.tokens_in, data.tokens_out],
    none: data.tokens_in.every((value) => value == null) ? "Not measured: no answer in this time said its tokens." : null,
  }),
};

export function options(box, chart, range) {
  const axis = { stroke: colour("--text-soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px sans-serif" };
  const marks = (_, values) => values.map((value) => (chart.whole && value % 1 ? "" : (chart.axis ?? number)(value)));
  const isLong = range[1] - range[0] > 2 * 86400;
  const clock = new Intl.DateTimeFormat(undefined, isLong ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hour12: false });
  const times = (_, values) => values.map((at) => clock.format(new Date(at * 1000)));
  return {
    width: box.clientWidth - 16,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    legend: { live: true },
    // The newest times stand at the right edge of every chart, so that they can be compared.
    scales: { x: { range: () => range }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, chart.whole || !high ? 1.2 : 0.001)] } },
    axes: [{ ...axis, values: times, space: 70, size: 32 }, { ...axis, size: 64, values: marks, ...(chart.steps && { incrs: chart.steps }) }],
    series: [{ value: (_, at) => (at == null ? "—" : new Date(at * 1000).toLocaleTimeString()) }, ...chart.series],
    hooks: { draw: chart.draw ? [chart.draw] : [] },
  };
}
