// A report: what the pages show, from data inside the file.

import { $, $$ } from "./page.js";
import { board } from "./chart.js";
import { Grid } from "./grid.js";
import { show } from "./plots.js";

const bytes = Uint8Array.from(atob($("#data").textContent), (letter) => letter.charCodeAt(0));
const data = JSON.parse(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text());

if (data.curves.length) {
  const cut = ({ xs, lows, means, highs, ...line }, [from, to]) => {
    const kept = xs.map((x, at) => at).filter((at) => from === null || (xs[at] >= from && xs[at] <= to));
    const part = (values) => Float64Array.from(kept, (at) => values[at]);
    return { line, points: line.points, xs: part(xs), lows: part(lows), means: part(means), highs: part(highs), first: line.first, last: line.last };
  };
  board($("#chart-tools"), $$("#charts .chart"), data.curves, { read: async (line, view) => cut(line, view), axes: ["step"] });
}
show($("#plots"), data, { important: async (metric) => ({ rows: data.important[metric] ?? [] }), address: () => null });

// The list: sorted and searched here

const box = $("#grid"), tell = (axis, run) => { const value = axis.values[run]; return value === null ? "" : axis.labels ? axis.labels[value] : String(Number(value.toPrecision(5))); };
const columns = [{ name: "run.name", title: "Name", kind: "name", sort: "run.name", width: 230 },
  ...data.axes.map((axis) => ({ name: axis.name, title: axis.title, kind: axis.labels ? "text" : "number", sort: axis.name, width: Math.min(190, Math.max(92, 34 + 7 * axis.title.length)), better: axis.better, axis }))];
let order = data.ids.map((_, at) => at), sorted = new Map(), shown = order;
const text = new Map();
const words = (run) => { if (!text.has(run)) text.set(run, [data.names[run], ...data.axes.filter((axis) => axis.labels).map((axis) => tell(axis, run))].join("\n").toLowerCase()); return text.get(run); };
const row = (run) => ({ id: data.ids[run], name: data.names[run], status: data.states[run], colour: data.colours[run], cells: columns.map((column) => (column.axis ? tell(column.axis, run) : data.names[run])), best: [], deleted: false });
const grid = new Grid(box, {
  open: () => {}, failed: () => {}, picked: () => {}, moved: () => {}, sized: () => {}, grouped: () => {}, plain: true,
  sorted: (column, further) => {
    const was = sorted.get(column.sort), first = column.better === "higher" ? "descending" : "ascending";
    const next = !was ? first : was === first ? (first === "ascending" ? "descending" : "ascending") : null;
    if (!further) sorted = new Map();
    if (next) sorted.set(column.sort, next); else sorted.delete(column.sort);
    const keys = [...sorted].map(([name, way]) => [columns.find((one) => one.sort === name), way === "descending" ? -1 : 1]);
    const compare = (one, other, [found, way]) => {
      if (!found.axis) return way * data.names[one].localeCompare(data.names[other]);
      const left = found.axis.values[one], right = found.axis.values[other];
      return left === right ? 0 : left === null ? 1 : right === null ? -1 : way * (left - right);
    };
    order = data.ids.map((_, at) => at).sort((one, other) => { for (const key of keys) { const found = compare(one, other, key); if (found) return found; } return one - other; });
    draw();
  },
});
function draw() {
  const wanted = $("#find").value.trim().toLowerCase();
  shown = wanted ? order.filter((run) => words(run).includes(wanted)) : order;
  $("#found").textContent = `${shown.length.toLocaleString()} ${shown.length === 1 ? "run" : "runs"}`;
  grid.setColumns(columns, { pinned: new Set(["run.name"]), widths: {}, order: sorted });
  grid.show([grid.list(async (offset, limit) => ({ rows: shown.slice(offset, offset + limit).map(row) }), shown.length, shown.slice(0, 100).map(row))]);
}
$("#find").addEventListener("input", draw);
draw();
document.documentElement.dataset.ready = "true";
