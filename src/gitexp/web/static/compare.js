// Several runs side by side: curves with a legend, plots, pictures that slide over each other.

import { $, $$, getJSON, onKey } from "./page.js";

if ($("#charts")) {
  const { board } = await import("./chart.js");
  const charts = board($("#chart-tools"), $$("#charts .chart"), JSON.parse($("#curves").textContent));
  const all = charts.map((chart) => chart.lines);
  $("#legend").addEventListener("change", () => {
    const shown = new Set($$("#legend input:checked").map((box) => box.value));
    charts.forEach((chart, at) => {
      chart.lines = all[at].filter((line) => shown.has(line.id));
      chart.curves = chart.curves.filter((curve) => shown.has(curve.line.id));
      if (chart.lines.length > chart.curves.length) chart.again(); else chart.draw();
    });
  });
}
if ($("#plots")) {
  const { show } = await import("./plots.js");
  const important = (metric) => { const query = new URLSearchParams(location.search); query.set("metric", metric); return getJSON(`/api/importance?${query}`); };
  show($("#plots"), JSON.parse($("#axes").textContent), { important, address: (id) => `/runs/${id}` });
}
for (const figure of $$(".slide")) {
  const range = $("input", figure), over = $(".over", figure);
  figure.classList.add("sliding");
  const draw = () => { over.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`; };
  range.addEventListener("input", draw);
  draw();
}
onKey("u", "back to the runs", () => { location.href = "/runs"; });
document.documentElement.dataset.ready = "true";
