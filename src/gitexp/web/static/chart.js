// Curves on a canvas: the mean of what a pixel holds as a line, lowest to highest as a band behind it.

import { $, el, fail, getBytes } from "./page.js";

const LEFT = 56, RIGHT = 10, TOP = 8, BOTTOM = 24;
const DASHES = [[], [6, 3], [2, 3]];

const style = () => getComputedStyle(document.documentElement);
export const colour = (name) => style().getPropertyValue(name).trim();

/** About `count` round numbers between two. */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((one) => one * power >= raw) * power;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9 && found.length < 50; at += step) found.push(Math.abs(at) < step * 1e-9 ? 0 : at);
  return found;
}
function logTicks(low, high) {
  const found = [];
  const from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high));
  const steps = to - from > 6 ? [1] : to - from > 2 ? [1, 3] : [1, 2, 5];
  for (let power = from; power <= to; power++) for (const step of steps) { const at = step * 10 ** power; if (at >= low * 0.999 && at <= high * 1.001) found.push(at); }
  return found.length > 1 ? found : ticks(low, high, 4);
}

export function short(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(size >= 1e6 ? 1 : 1).replace("e+", "e").replace(".0e", "e");
  return String(Number(value.toPrecision(5)));
}
const moment = (seconds, span) => {
  const date = new Date(seconds * 1000);
  return span > 86400 * 2 ? date.toLocaleDateString(undefined, { month: "short", day: "numeric" }) : date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: span < 600 ? "2-digit" : undefined });
};
const span = (seconds) => {
  const whole = Math.abs(seconds);
  if (whole < 60) return `${short(Math.round(seconds * 100) / 100)}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${Math.round(whole % 60) ? String(Math.round(whole % 60)).padStart(2, "0") : ""}`;
  return `${Math.floor(whole / 3600)}h${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}`;
};

/** Exponential mean with a correction for its beginning; weight 0: as it is. */
function smooth(values, weight) {
  if (!weight) return values;
  const found = new Float64Array(values.length);
  let last = 0, share = 0;
  values.forEach((value, at) => { last = last * weight + value * (1 - weight); share = share * weight + (1 - weight); found[at] = last / share; });
  return found;
}

/** A curve from the server: the part of it that is in view, in so many pieces. */
async function asked(line, key, x, count, [from, to], signal) {
  const query = new URLSearchParams({ key, x, px: count });
  if (from !== null) { query.set("from", from); query.set("to", to); }
  const numbers = new Float64Array(await getBytes(`/api/runs/${line.id}/series?${query}`, signal));
  const size = numbers[0], part = (at) => numbers.subarray(4 + at * size, 4 + (at + 1) * size);
  return { line, points: numbers[1], xs: part(0), lows: part(1), means: part(2), highs: part(3), first: numbers[2], last: numbers[3] };
}

export class Chart {
  /** @param {HTMLElement} figure with a `.plot`; `lines` are {id, name, colour, dash} of runs that have `key`. */
  constructor(figure, key, lines, settings) {
    this.figure = figure;
    this.plot = $(".plot", figure);
    this.key = key;
    this.lines = lines;
    this.settings = settings;
    this.view = [null, null];
    this.curves = [];
    this.canvas = el("canvas", { role: "img", tabIndex: 0, "aria-label": `${key}: loading` });
    this.plot.replaceChildren(this.canvas);
    new IntersectionObserver((found) => { this.seen = found.at(-1).isIntersecting; if (this.seen && !this.asked) this.load(); }, { rootMargin: "200px" }).observe(figure);
    new ResizeObserver(() => this.draw()).observe(this.plot);
    addEventListener("themechange", () => this.draw());
    this.canvas.addEventListener("pointerdown", (event) => this.#drag(event));
    this.canvas.addEventListener("pointermove", (event) => { if (!this.dragging) this.point(event.offsetX); });
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    this.canvas.addEventListener("dblclick", () => this.zoom(null, null));
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  async load() {
    this.asked?.abort();
    this.asked = new AbortController();
    const { signal } = this.asked;
    const count = Math.max(120, Math.min(1600, Math.round((this.plot.clientWidth - LEFT - RIGHT) || 400)));
    const read = this.settings.read ?? ((line, view) => asked(line, this.key, this.settings.x, count, view, signal));
    try {
      this.curves = await Promise.all(this.lines.map((line) => read(line, this.view)));
      this.draw();
      this.figure.dataset.drawn = String(Number(this.figure.dataset.drawn ?? 0) + 1);
    } catch (error) { if (error.name !== "AbortError") fail(error); }
  }

  again() { if (this.seen) this.load(); else this.asked = null; }
  zoom(from, to) { this.view = [from, to]; this.settings.zoomed?.(this); this.load(); }

  #bounds() {
    const shown = this.curves.filter((curve) => curve.xs.length);
    if (!shown.length) return null;
    let [left, right] = this.view;
    if (left === null) { left = Math.min(...shown.map((curve) => curve.first)); right = Math.max(...shown.map((curve) => curve.last)); }
    if (!(right > left)) { left -= 0.5; right += 0.5; }
    let low = Infinity, high = -Infinity;
    for (const curve of shown) {
      for (let at = 0; at < curve.xs.length; at++) {
        if (curve.xs[at] < left || curve.xs[at] > right) continue;
        if (curve.highs[at] > high) high = curve.highs[at];
        const bottom = this.settings.log && curve.lows[at] <= 0 ? curve.highs[at] : curve.lows[at];
        if (bottom < low && (!this.settings.log || bottom > 0)) low = bottom;
      }
    }
    if (low === Infinity) return null;
    if (this.settings.log) { if (!(high > low)) { high = low * 2; low /= 2; } }
    else { const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1; low -= room; high += room; }
    return { left, right, low, high };
  }

  draw() {
    const ratio = devicePixelRatio || 1, wide = this.plot.clientWidth, high = this.plot.clientHeight;
    if (!wide || !high) return;
    this.canvas.width = Math.round(wide * ratio);
    this.canvas.height = Math.round(high * ratio);
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = `11px ${style().getPropertyValue("--sans")}`;
    const bounds = this.bounds = this.#bounds();
    if (!bounds) { this.#say(pen, wide, high); return; }
    const { left, right, low, high: top } = bounds, log = this.settings.log;
    const x = this.x = (value) => LEFT + ((value - left) / (right - left)) * (wide - LEFT - RIGHT);
    const scale = log ? Math.log : (value) => value;
    const y = this.y = (value) => TOP + (1 - (scale(value) - scale(low)) / (scale(top) - scale(low))) * (high - TOP - BOTTOM);
    this.#axes(pen, wide, high);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, wide - LEFT - RIGHT, high - BOTTOM + 1);
    pen.clip();
    for (const curve of this.curves) this.#curve(pen, curve, x, y, log);
    pen.restore();
    this.#tell();
  }

  #say(pen, wide, high) {
    pen.fillStyle = colour("--muted");
    pen.textAlign = "center";
    const text = this.curves.length ? "No number to draw" : "";
    pen.fillText(text, wide / 2, high / 2);
    if (text) this.canvas.setAttribute("aria-label", `${this.key}: ${text}`);
  }

  #axes(pen, wide, high) {
    const { left, right, low, high: top } = this.bounds, kind = this.settings.x;
    pen.strokeStyle = colour("--line");
    pen.fillStyle = colour("--muted");
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const value of this.settings.log ? logTicks(low, top) : ticks(low, top, high / 46)) {
      const at = Math.round(this.y(value)) + 0.5;
      if (at < TOP - 1 || at > high - BOTTOM + 1) continue;
      pen.beginPath(); pen.moveTo(LEFT, at); pen.lineTo(wide - RIGHT, at); pen.stroke();
      pen.fillText(short(value), LEFT - 7, at);
    }
    pen.textBaseline = "alphabetic";
    pen.textAlign = "center";
    const tell = (value) => (kind === "time" ? moment(value, right - left) : kind === "relative" ? span(value) : short(value));
    let end = -Infinity;
    for (const value of ticks(left, right, wide / 90)) {
      const text = tell(value), half = pen.measureText(text).width / 2;
      const at = Math.min(Math.max(this.x(value), LEFT + half - 8), wide - half);
      if (at - half < end + 8) continue;
      end = at + half;
      pen.fillText(text, at, high - 7);
    }
    pen.strokeStyle = colour("--strong-line") || colour("--line");
    pen.beginPath(); pen.moveTo(LEFT, high - BOTTOM + 0.5); pen.lineTo(wide - RIGHT, high - BOTTOM + 0.5); pen.stroke();
  }

  #curve(pen, { line, xs, lows, means, highs }, x, y, log) {
    const ink = colour(`--run-${line.colour}`), weight = this.settings.smoothing;
    const fits = (value) => !log || value > 0;
    let isBand = false;
    for (let at = 0; at < xs.length && !isBand; at++) isBand = highs[at] > lows[at];
    if (isBand) {
      pen.fillStyle = ink;
      pen.globalAlpha = weight ? 0.1 : 0.2;
      pen.beginPath();
      for (let at = 0; at < xs.length; at++) { const place = y(fits(highs[at]) ? highs[at] : this.bounds.low); if (at) pen.lineTo(x(xs[at]), place); else pen.moveTo(x(xs[at]), place); }
      for (let at = xs.length - 1; at >= 0; at--) pen.lineTo(x(xs[at]), y(fits(lows[at]) ? lows[at] : this.bounds.low));
      pen.fill();
      // A spike one pixel wide would vanish in a fill.
      pen.strokeStyle = ink;
      pen.lineWidth = 1;
      pen.globalAlpha = weight ? 0.14 : 0.32;
      pen.beginPath();
      for (let at = 0; at < xs.length; at++) if (fits(highs[at])) { const place = Math.round(x(xs[at])) + 0.5; pen.moveTo(place, y(highs[at])); pen.lineTo(place, y(fits(lows[at]) ? lows[at] : this.bounds.low)); }
      pen.stroke();
    }
    const trace = (values) => {
      pen.beginPath();
      let isDown = false;
      for (let at = 0; at < xs.length; at++) {
        if (!fits(values[at])) { isDown = false; continue; }
        if (isDown) pen.lineTo(x(xs[at]), y(values[at])); else pen.moveTo(x(xs[at]), y(values[at]));
        isDown = true;
      }
      pen.stroke();
    };
    pen.strokeStyle = ink;
    pen.lineJoin = "round";
    if (weight && !isBand) { pen.globalAlpha = 0.28; pen.lineWidth = 1; trace(means); }
    pen.globalAlpha = 1;
    pen.lineWidth = 1.6;
    pen.setLineDash(this.curves.length > 1 ? DASHES[line.dash ?? 0] : []);
    trace(smooth(means, weight));
    pen.setLineDash([]);
    if (xs.length === 1) { pen.fillStyle = ink; pen.beginPath(); pen.arc(x(xs[0]), y(means[0]), 3.5, 0, 7); pen.fill(); }
  }

  #tell() {
    const told = this.curves.slice(0, 5).map(({ line, means, lows, highs, points }) => (means.length ? `${this.curves.length > 1 ? `${line.name}: ` : ""}${points.toLocaleString()} points, from ${short(Math.min(...lows))} to ${short(Math.max(...highs))}, last ${short(means.at(-1))}` : ""));
    this.canvas.setAttribute("aria-label", `${this.key}. ${told.filter(Boolean).join(". ")}`);
  }

  /** Show the values at a place; `offset` in pixels from the left, null: none. */
  point(offset, fromElsewhere = false) {
    if (!fromElsewhere && this.bounds) this.settings.pointed?.(this, offset === null ? null : this.bounds.left + ((offset - LEFT) / (this.plot.clientWidth - LEFT - RIGHT)) * (this.bounds.right - this.bounds.left));
    this.tip?.remove();
    this.hair?.remove();
    if (offset === null || !this.bounds || offset < LEFT || offset > this.plot.clientWidth - RIGHT) return;
    const { left, right } = this.bounds;
    const wanted = left + ((offset - LEFT) / (this.plot.clientWidth - LEFT - RIGHT)) * (right - left);
    const rows = this.curves.filter((curve) => curve.xs.length).map((curve) => {
      let low = 0, high = curve.xs.length - 1;
      while (low < high) { const middle = (low + high) >> 1; if (curve.xs[middle] < wanted) low = middle + 1; else high = middle; }
      if (low > 0 && wanted - curve.xs[low - 1] < curve.xs[low] - wanted) low -= 1;
      return { curve, at: low, value: curve.means[low] };
    });
    if (!rows.length) return;
    rows.sort((one, other) => other.value - one.value);
    const first = rows[0], place = this.x(first.curve.xs[first.at]);
    const kind = this.settings.x, where = first.curve.xs[first.at];
    const title = kind === "time" ? new Date(where * 1000).toLocaleString() : kind === "relative" ? span(where) : `step ${Math.round(where).toLocaleString()}`;
    this.hair = el("div", { class: "hair" });
    Object.assign(this.hair.style, { position: "absolute", left: `${place}px`, top: `${TOP}px`, bottom: `${BOTTOM}px`, width: "1px", background: "var(--muted)", pointerEvents: "none" });
    this.plot.append(this.hair);
    if (fromElsewhere) return;
    this.tip = el("div", { class: "tip" }, el("div", { class: "muted" }, title), ...rows.slice(0, 12).map(({ curve, at, value }) => el("div", {}, el("i", { class: `dot hue-${curve.line.colour}` }), this.curves.length > 1 ? el("span", {}, curve.line.name) : null, el("b", {}, short(value)),
      curve.highs[at] > curve.lows[at] ? el("span", { class: "muted" }, `${short(curve.lows[at])} – ${short(curve.highs[at])}`) : null)));
    this.plot.append(this.tip);
    this.tip.style.left = `${Math.max(0, place + 14 + this.tip.offsetWidth > this.plot.clientWidth ? place - 14 - this.tip.offsetWidth : place + 14)}px`;
    this.tip.style.top = "8px";
  }
  pointAt(value) { this.point(value === null || !this.bounds ? null : this.x(value), true); }

  #drag(event) {
    if (event.button || !this.bounds) return;
    const start = event.offsetX;
    this.dragging = true;
    const box = el("div");
    Object.assign(box.style, { position: "absolute", top: `${TOP}px`, bottom: `${BOTTOM}px`, background: "var(--accent)", opacity: "0.18", pointerEvents: "none" });
    this.plot.append(box);
    this.canvas.setPointerCapture(event.pointerId);
    const moving = (move) => { const end = Math.min(Math.max(move.offsetX, LEFT), this.plot.clientWidth - RIGHT); Object.assign(box.style, { left: `${Math.min(start, end)}px`, width: `${Math.abs(end - start)}px` }); };
    const done = (up) => {
      this.canvas.removeEventListener("pointermove", moving);
      box.remove();
      this.dragging = false;
      const ends = [start, up.offsetX].sort((one, other) => one - other).map((at) => this.bounds.left + ((Math.min(Math.max(at, LEFT), this.plot.clientWidth - RIGHT) - LEFT) / (this.plot.clientWidth - LEFT - RIGHT)) * (this.bounds.right - this.bounds.left));
      if (Math.abs(up.offsetX - start) > 6) this.zoom(...ends);
    };
    this.canvas.addEventListener("pointermove", moving);
    this.canvas.addEventListener("pointerup", done, { once: true });
  }

  #key(event) {
    if (!this.bounds) return;
    const { left, right } = this.bounds, wide = right - left;
    const moves = { "+": [left + wide / 4, right - wide / 4], "=": [left + wide / 4, right - wide / 4], "-": [left - wide / 2, right + wide / 2], ArrowLeft: [left - wide / 8, right - wide / 8], ArrowRight: [left + wide / 8, right + wide / 8], 0: [null, null], Escape: [null, null] };
    if (!(event.key in moves) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.zoom(...moves[event.key]);
  }
}

/** Several charts with one set of tools above them: axis, scale, smoothing, which ones, size. */
export function board(tools, figures, curves, { x = "step", axes = ["step", "relative", "time"], read } = {}) {
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem("gitexp-charts")) || {}; } catch { /* storage is off */ }
  const settings = { x, read, log: false, smoothing: kept.smoothing ?? 0,
    pointed: (from, value) => charts.forEach((chart) => { if (chart !== from && chart.seen) chart.pointAt(value); }) };
  const charts = figures.map((figure, at) => new Chart(figure, curves[at].key, curves[at].runs, settings));
  const keep = () => { try { localStorage.setItem("gitexp-charts", JSON.stringify({ smoothing: settings.smoothing })); } catch { /* storage is off */ } };
  const axis = el("select", { "aria-label": "Horizontal axis", onchange: () => { settings.x = axis.value; charts.forEach((chart) => { chart.view = [null, null]; chart.again(); }); } },
    ...[["step", "Step"], ["relative", "Time since start"], ["time", "Time of day"]].filter(([value]) => axes.includes(value)).map(([value, text]) => el("option", { value, selected: value === x }, text)));
  const log = el("input", { type: "checkbox", onchange: () => { settings.log = log.checked; charts.forEach((chart) => chart.draw()); } });
  const told = el("output", {}, settings.smoothing.toFixed(2));
  const weight = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: settings.smoothing, "aria-label": "Smoothing", oninput: () => { settings.smoothing = Number(weight.value); told.textContent = settings.smoothing.toFixed(2); keep(); charts.forEach((chart) => chart.draw()); } });
  const filter = el("input", { type: "text", placeholder: "Find a metric", "aria-label": "Find a metric", oninput: () => figures.forEach((figure, at) => { figure.hidden = !curves[at].key.toLowerCase().includes(filter.value.toLowerCase()); }) });
  tools.append(curves.length > 4 ? filter : "", el("label", {}, "Axis", axis), el("label", {}, log, "Log scale"), el("label", {}, "Smoothing", weight, told), el("button", { type: "button", onclick: () => charts.forEach((chart) => chart.zoom(null, null)) }, "Reset zoom"));
  figures.forEach((figure, at) => {
    const large = el("button", { type: "button", class: "quiet", "aria-pressed": "false", "aria-label": `Large picture of ${curves[at].key}`, title: "Large", onclick: () => { large.setAttribute("aria-pressed", String(figure.classList.toggle("big"))); charts[at].again(); } }, "⤢");
    $("figcaption", figure).append(large);
  });
  return charts;
}
