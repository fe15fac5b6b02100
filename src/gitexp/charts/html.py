"""A chart as a page of HTML that needs nothing from anywhere: values under the pointer, lines that hide at a click."""

from __future__ import annotations

import json
from typing import Any

from gitexp.charts.figure import Figure, Panel
from gitexp.charts.scale import Kind
from gitexp.charts.svg import DARK, LIGHT, STYLE, STYLE_DARK, WIDTH, draw_panel, pieces, plot_area, text

_STYLE = (
    "body{font:14px system-ui,sans-serif;margin:24px;background:#fff;color:#111}h1{font-size:16px}"
    "main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr));gap:20px;max-width:1600px}"
    "svg{width:100%;height:auto}.key{cursor:pointer}.off{opacity:.2}.hidden{display:none}"
    "#tip{position:fixed;pointer-events:none;background:#fffe;border:1px solid #8886;border-radius:4px;padding:4px 8px;"
    "font-size:12px;white-space:pre;display:none}#tip b{display:inline-block;width:9px;height:9px;margin-right:6px}"
    ".cross{stroke:#8888;pointer-events:none}.area{fill:transparent}p{color:#777}"
)
_STYLE_DARK = "body{background:#16181d;color:#eee}#tip{background:#22252cee}"

_SCRIPT = """
const tip = document.getElementById("tip"), dark = matchMedia("(prefers-color-scheme:dark)");
const show = v => Math.abs(v) >= 1e6 || (v && Math.abs(v) < 1e-4) ? v.toExponential(4) : String(+v.toPrecision(6));
const along = (p, x) =>
  p.kind == "time" ? new Date(x * 1000).toLocaleString() : show(x) + (p.kind == "seconds" ? " s" : "");
function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) { const middle = (low + high) >> 1; if (xs[middle] < x) low = middle; else high = middle; }
  return x - xs[low] < xs[high] - x ? low : high;
}
document.querySelectorAll("figure svg.panel").forEach((svg, number) => {
  const p = PANELS[number], [left, top_, width, height] = p.area, off = new Set();
  const cross = svg.querySelector(".cross"), area = svg.querySelector(".area");
  area.addEventListener("pointermove", event => {
    const box = area.getBoundingClientRect(), x = p.x[0] + (event.clientX - box.left) / box.width * (p.x[1] - p.x[0]);
    const rows = p.lines.map((line, i) => ({line, i})).filter(r => r.line.x.length && !off.has(r.i));
    if (!rows.length) return;
    for (const row of rows) row.at = nearest(row.line.x, x);
    const first = rows.reduce((a, b) => Math.abs(a.line.x[a.at] - x) <= Math.abs(b.line.x[b.at] - x) ? a : b);
    const place = left + (first.line.x[first.at] - p.x[0]) / (p.x[1] - p.x[0]) * width;
    cross.setAttribute("d", `M${place} ${top_}v${height}`);
    tip.replaceChildren(`${p.title}: ${along(p, first.line.x[first.at])}`);
    for (const {line, i, at} of rows) {
      const mark = document.createElement("b");
      mark.style.background = COLOURS[dark.matches ? 1 : 0][i % COLOURS[0].length];
      tip.append("\\n", mark, `${line.name}  ${show(line.y[at])}`);
    }
    tip.style.display = "block";
    const beyond = event.clientX + tip.offsetWidth + 24 > innerWidth;
    tip.style.left = (beyond ? event.clientX - tip.offsetWidth - 14 : event.clientX + 14) + "px";
    tip.style.top = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4) + "px";
  });
  area.addEventListener("pointerleave", () => { tip.style.display = "none"; cross.removeAttribute("d"); });
  svg.querySelectorAll(".key").forEach(key => key.addEventListener("click", () => {
    const i = +key.dataset.line, hidden = !off.delete(i) && off.add(i);
    key.classList.toggle("off", !!hidden);
    svg.querySelectorAll(`.line[data-line="${i}"]`).forEach(line => line.classList.toggle("hidden", !!hidden));
  }));
});
"""


def page(figure: Figure) -> str:
    """The page. The values it shows are those of the points that are drawn."""
    colours = _data([LIGHT, DARK])
    panels = _data([_panel(panel) for panel in figure.panels])
    notes = "".join(f"<p>{text(note)}</p>" for note in figure.notes)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f"<title>{text(figure.title)}</title>"
        f"<style>{_STYLE}{STYLE}@media(prefers-color-scheme:dark){{{_STYLE_DARK}{STYLE_DARK}}}</style>"
        f"<h1>{text(figure.title)}</h1><main>\n"
        + "\n".join(map(_figure, figure.panels))
        + f'\n</main>{notes}<div id="tip"></div>\n'
        f"<script>const COLOURS = {colours}, PANELS = {panels};{_SCRIPT}</script></html>\n"
    )


def _figure(panel: Panel) -> str:
    body, height = draw_panel(panel)
    left, top, width, down = plot_area(panel)
    return (
        f'<figure style="margin:0"><svg class="panel" viewBox="0 0 {WIDTH} {height}">{body}'
        f'<path class="cross"/><rect class="area" x="{left}" y="{top}" width="{width}" height="{down}" fill="none"/>'
        "</svg></figure>"
    )


def _panel(panel: Panel) -> dict[str, Any]:
    x, y = panel.x_scale(), panel.y_scale()
    lines = []
    for line in panel.lines:
        points = [point for piece in pieces(line, "ys", x, y) for point in piece]
        lines.append({"name": line.name, "x": [point[0] for point in points], "y": [point[1] for point in points]})
    kinds = {Kind.TIME: "time", Kind.SECONDS: "seconds"}
    return {
        "title": panel.title,
        "kind": kinds.get(panel.x_kind, ""),
        "x": [x.low, x.high],
        "area": plot_area(panel),
        "lines": lines,
    }


def _data(value: Any) -> str:
    """JSON inside a script: nothing in it can end the script."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
