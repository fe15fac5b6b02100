// How params and metrics of many runs hang together: parallel coordinates, scatter and surface, importance, boxes.

import { $, el, fail } from "./page.js";
import { colour, short, ticks } from "./chart.js";

const MOST_LINES = 12;
const AT_ONCE = 2000;

/** Colours from low to high: light to dark where the page is light, dark to light where it is dark. */
const SCALES = {
  light: [[253, 231, 160], [244, 162, 97], [205, 80, 110], [110, 40, 130], [40, 20, 90]],
  dark: [[70, 80, 190], [60, 150, 190], [90, 200, 140], [220, 220, 90], [255, 245, 190]],
};
function shade(share) {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const theme = document.documentElement.dataset.theme;
  const stops = SCALES[theme === "dark" || (theme !== "light" && isDark) ? "dark" : "light"];
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
  return stops[low].map((part, place) => Math.round(part + (stops[low + 1][place] - part) * (at - low)));
}
const ink = (share, alpha = 1) => `rgb(${shade(share).join(" ")} / ${alpha})`;

/** Where a value of an axis lies between 0 and 1; a log scale where its values are positive and far apart. */
function scale(axis) {
  const there = axis.values.filter((value) => value !== null);
  if (axis.labels) { const last = Math.max(axis.labels.length - 1, 1); return { share: (value) => value / last, ticks: axis.labels.map((label, at) => [at / last, label]), low: 0, high: last, log: false }; }
  let low = Infinity, high = -Infinity;
  for (const value of there) { if (value < low) low = value; if (value > high) high = value; }
  if (low === Infinity) { low = 0; high = 1; }
  const log = axis.family === "params" && low > 0 && high / low >= 50;
  if (low === high) { low -= 0.5; high += 0.5; }
  const pass = log ? Math.log10 : (value) => value;
  const from = pass(low), wide = pass(high) - from;
  let marks = ticks(low, high, 5);
  if (log) { marks = []; for (let power = Math.ceil(from); power <= Math.floor(from + wide); power++) marks.push(10 ** power); if (marks.length < 2) marks = [low, high]; }
  return { share: (value) => (pass(value) - from) / wide, ticks: marks.map((value) => [(pass(value) - from) / wide, short(value)]), low, high, log };
}
const tell = (axis, value) => (value === null ? "none" : axis.labels ? axis.labels[value] : short(value));

function canvas(plot, draw, label) {
  const made = el("canvas", { role: "img", "aria-label": label, tabIndex: 0 });
  plot.append(made);
  const again = () => {
    const ratio = devicePixelRatio || 1, wide = plot.clientWidth, high = plot.clientHeight;
    if (!wide || !high) return;
    made.width = Math.round(wide * ratio);
    made.height = Math.round(high * ratio);
    const pen = made.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = `11px ${getComputedStyle(document.documentElement).getPropertyValue("--sans")}`;
    draw(pen, wide, high);
  };
  new ResizeObserver(again).observe(plot);
  addEventListener("themechange", again);
  return [made, again];
}
const select = (label, axes, chosen, act) => {
  const box = el("select", { "aria-label": label, onchange: () => act(axes[box.selectedIndex]) }, ...axes.map((axis) => el("option", { selected: axis === chosen }, axis ? `${axis.title}${axis.family === "params" ? " (param)" : ""}` : "none")));
  return el("label", {}, label, box);
};

/** All plots of some runs; `important(metric)` gives what each param tells of it, `address(id)` the page of a run. */
export function show(place, data, { important, address }) {
  const { axes } = data;
  const metrics = axes.filter((axis) => axis.family === "metrics");
  const params = axes.filter((axis) => axis.family === "params");
  if (!axes.length || !data.ids.length) { place.append(el("p", { class: "empty" }, "These runs differ in no param and no metric.")); return; }
  const goal = metrics.find((axis) => axis.better) ?? metrics[0] ?? axes[0];
  const state = { goal, kept: null, listeners: [] };
  const inform = () => state.listeners.forEach((act) => act());
  const tools = el("div", { class: "chart-tools" }, select("Metric", metrics.length ? metrics : axes, goal, (axis) => { state.goal = axis; inform(); }), el("span", { class: "muted", role: "status" }));
  const told = $("[role=status]", tools);
  const say = () => { const count = state.kept ? state.kept.filter(Boolean).length : data.ids.length; told.textContent = state.kept ? `${count.toLocaleString()} of ${data.ids.length.toLocaleString()} runs inside the brushes` : `${data.ids.length.toLocaleString()} runs`; };
  state.listeners.push(say);
  say();
  const board = el("div", { class: "charts plots" });
  place.append(tools, board);
  const card = (title, kind, ...extra) => { const plot = el("div", { class: "plot" }), figure = el("figure", { class: `chart ${kind}` }, el("figcaption", {}, title, ...extra), plot); board.append(figure); return plot; };
  parallel(card("Parallel coordinates", "big parallel"), data, state, inform, [...params.slice(0, MOST_LINES - 2), ...metrics.slice(0, 4)]);
  scatter(card, data, state, params, metrics, address);
  importance(card("Which params matter", "table"), state, important);
  if (params.length) boxes(card, data, state, params);
}

// Parallel coordinates: drag along an axis to keep what lies there, a click takes that back

function parallel(plot, data, state, inform, axes) {
  const brushes = new Map();
  const scales = new Map(axes.map((axis) => [axis, scale(axis)]));
  const TOP = 34, BOTTOM = 16, SIDE = 56;
  let places = [], newest = 0;
  const y = (axis, value) => TOP + (1 - scales.get(axis).share(value)) * (plot.clientHeight - TOP - BOTTOM);
  const count = data.ids.length;
  const draw = (pen, wide, high) => {
    const order = [...axes.filter((axis) => axis !== state.goal), ...(axes.includes(state.goal) ? [state.goal] : [state.goal])];
    if (!scales.has(state.goal)) scales.set(state.goal, scale(state.goal));
    places = order.map((axis, at) => ({ axis, x: SIDE + ((wide - 2 * SIDE) * at) / Math.max(order.length - 1, 1) }));
    const goalScale = scales.get(state.goal);
    const runs = [...Array(count).keys()].sort((one, other) => (state.goal.values[one] ?? -Infinity) - (state.goal.values[other] ?? -Infinity));
    if (state.goal.better === "lower") runs.reverse();
    const trace = (run) => {
      pen.beginPath();
      let isDown = false;
      for (const { axis, x } of places) {
        const value = axis.values[run];
        if (value === null) { isDown = false; continue; }
        if (isDown) pen.lineTo(x, y(axis, value)); else pen.moveTo(x, y(axis, value));
        isDown = true;
      }
      pen.stroke();
    };
    const alpha = Math.max(0.12, Math.min(0.85, 90 / count));
    pen.lineWidth = 1;
    if (state.kept) { pen.strokeStyle = colour("--line"); pen.globalAlpha = 0.5; for (const run of runs) if (!state.kept[run]) trace(run); pen.globalAlpha = 1; }
    const kept = state.kept ? runs.filter((run) => state.kept[run]) : runs;
    const faint = colour("--line"), mine = ++newest;
    const some = (from) => {
      if (mine !== newest) return;
      pen.lineWidth = count > 300 ? 1 : 1.3;
      for (const run of kept.slice(from, from + AT_ONCE)) {
        const value = state.goal.values[run];
        pen.strokeStyle = value === null ? faint : ink(goalScale.share(value), alpha);
        trace(run);
      }
      if (from + AT_ONCE < kept.length) requestAnimationFrame(() => some(from + AT_ONCE));
      else ends(pen, high);
    };
    some(0);
  };
  const ends = (pen, high) => {
    for (const { axis, x } of places) {
      pen.strokeStyle = colour("--muted");
      pen.lineWidth = 1;
      pen.beginPath(); pen.moveTo(x + 0.5, TOP); pen.lineTo(x + 0.5, high - BOTTOM); pen.stroke();
      pen.textAlign = "center";
      pen.fillStyle = axis === state.goal ? colour("--accent") : colour("--text");
      const room = (plot.clientWidth - 2 * SIDE) / Math.max(places.length - 1, 1) - 8;
      let title = axis.title;
      while (title.length > 4 && pen.measureText(title).width > room) title = `…${title.slice(title.startsWith("…") ? 2 : 1)}`;
      pen.fillText(title, x, 16);
      pen.textAlign = "left";
      for (const [share, text] of scales.get(axis).ticks.slice(0, 24)) {
        const at = TOP + (1 - share) * (high - TOP - BOTTOM), shown = text.length > 12 ? `${text.slice(0, 11)}…` : text;
        pen.fillStyle = colour("--surface");
        pen.globalAlpha = 0.75;
        pen.fillRect(x + 4, at - 7, pen.measureText(shown).width + 4, 14);
        pen.globalAlpha = 1;
        pen.fillStyle = colour("--muted");
        pen.fillText(shown, x + 6, at + 4);
      }
      const brush = brushes.get(axis);
      if (brush) { pen.fillStyle = colour("--accent"); pen.globalAlpha = 0.25; pen.fillRect(x - 7, TOP + (1 - brush[1]) * (high - TOP - BOTTOM), 14, (brush[1] - brush[0]) * (high - TOP - BOTTOM)); pen.globalAlpha = 1; }
    }
    plot.parentElement.dataset.drawn = String(Number(plot.parentElement.dataset.drawn ?? 0) + 1);
  };
  const [picture, again] = canvas(plot, draw, `Parallel coordinates of ${count} runs over ${axes.map((axis) => axis.title).join(", ")}`);
  state.listeners.push(again);
  const keep = () => {
    state.kept = brushes.size ? data.ids.map((_, run) => [...brushes].every(([axis, [low, high]]) => { const value = axis.values[run]; if (value === null) return false; const share = scales.get(axis).share(value); return share >= low - 1e-9 && share <= high + 1e-9; })) : null;
    inform();
  };
  picture.addEventListener("pointerdown", (event) => {
    const near = places.reduce((best, place) => (Math.abs(place.x - event.offsetX) < Math.abs(best.x - event.offsetX) ? place : best), places[0]);
    if (Math.abs(near.x - event.offsetX) > 24) return;
    const high = plot.clientHeight, share = (y) => Math.min(Math.max(1 - (y - TOP) / (high - TOP - BOTTOM), 0), 1);
    const start = event.offsetY;
    picture.setPointerCapture(event.pointerId);
    const moving = (move) => { const ends = [share(start), share(move.offsetY)].sort((one, other) => one - other); brushes.set(near.axis, ends); keep(); };
    const done = (up) => { picture.removeEventListener("pointermove", moving); if (Math.abs(up.offsetY - start) < 4) { brushes.delete(near.axis); keep(); } };
    picture.addEventListener("pointermove", moving);
    picture.addEventListener("pointerup", done, { once: true });
  });
  picture.addEventListener("dblclick", () => { brushes.clear(); keep(); });
  picture.addEventListener("keydown", (event) => { if (event.key === "Escape") { brushes.clear(); keep(); } });
}

// Scatter, and the surface of a metric over two params

function scatter(card, data, state, params, metrics, address) {
  const axes = [...params, ...metrics];
  const numeric = params.filter((axis) => !axis.labels);
  const chosen = { x: numeric[0] ?? axes[0], y: null, surface: false };
  const follow = () => { if (!chosen.fixed) chosen.y = state.goal; };
  follow();
  const tools = el("div", { class: "chart-tools" });
  const plot = card("Scatter", "half");
  plot.before(tools);
  const LEFT = 60, RIGHT = 12, TOP = 8, BOTTOM = 26;
  let dots = [];
  const draw = (pen, wide, high) => {
    const across = scale(chosen.x), up = scale(chosen.y), deep = scale(state.goal);
    const x = (value) => LEFT + across.share(value) * (wide - LEFT - RIGHT - 16) + 8, y = (value) => TOP + 8 + (1 - up.share(value)) * (high - TOP - BOTTOM - 16);
    dots = [];
    for (let run = 0; run < data.ids.length; run++) {
      const one = chosen.x.values[run], other = chosen.y.values[run];
      if (one === null || other === null) continue;
      dots.push({ run, x: x(one), y: y(other), share: state.goal.values[run] === null ? null : deep.share(state.goal.values[run]) });
    }
    if (chosen.surface) surface(pen, dots, { left: LEFT, top: TOP, wide: wide - LEFT - RIGHT, high: high - TOP - BOTTOM });
    pen.fillStyle = colour("--muted");
    pen.strokeStyle = colour("--line");
    pen.textAlign = "right";
    let last = Infinity;
    for (const [share, text] of up.ticks) { const at = TOP + 8 + (1 - share) * (high - TOP - BOTTOM - 16); if (last - at < 12) continue; last = at; if (!chosen.surface) { pen.beginPath(); pen.moveTo(LEFT, Math.round(at) + 0.5); pen.lineTo(wide - RIGHT, Math.round(at) + 0.5); pen.stroke(); } pen.fillText(text.slice(0, 10), LEFT - 6, at + 4); }
    pen.textAlign = "center";
    let end = -Infinity;
    for (const [share, text] of across.ticks) { const at = LEFT + 8 + share * (wide - LEFT - RIGHT - 16), half = pen.measureText(text).width / 2; if (at - half < end + 6) continue; end = at + half; pen.fillText(text, at, high - 8); }
    for (const dot of dots) {
      const isOut = state.kept && !state.kept[dot.run];
      pen.globalAlpha = isOut ? 0.12 : data.ids.length > 2000 ? 0.5 : 0.9;
      pen.fillStyle = chosen.y === state.goal && !chosen.surface ? colour(`--run-${data.colours[dot.run]}`) : dot.share === null ? colour("--line") : ink(dot.share);
      pen.beginPath(); pen.arc(dot.x, dot.y, data.ids.length > 2000 ? 2 : 3.6, 0, 7); pen.fill();
      if (chosen.surface) { pen.strokeStyle = colour("--surface"); pen.lineWidth = 1; pen.stroke(); }
    }
    pen.globalAlpha = 1;
    picture?.setAttribute("aria-label", `${chosen.surface ? `${state.goal.title} over ${chosen.x.title} and ${chosen.y.title}` : `${chosen.y.title} over ${chosen.x.title}`}, ${dots.length} runs`);
  };
  let picture = null;
  const [made, again] = canvas(plot, draw, "Scatter");
  picture = made;
  const tip = el("div", { class: "tip", hidden: true });
  plot.append(tip);
  const nearest = (event) => { let best = null, least = 144; for (const dot of dots) { const far = (dot.x - event.offsetX) ** 2 + (dot.y - event.offsetY) ** 2; if (far < least) { least = far; best = dot; } } return best; };
  picture.addEventListener("pointermove", (event) => {
    const dot = nearest(event);
    tip.hidden = !dot;
    if (!dot) return;
    const named = [chosen.x, chosen.y, state.goal].filter((axis, at, all) => all.indexOf(axis) === at);
    tip.replaceChildren(el("div", {}, el("i", { class: `dot hue-${data.colours[dot.run]}` }), el("b", {}, data.names[dot.run])), ...named.map((axis) => el("div", {}, el("span", { class: "muted" }, axis.title), tell(axis, axis.values[dot.run]))));
    tip.style.left = `${Math.max(0, Math.min(dot.x + 12, plot.clientWidth - tip.offsetWidth))}px`;
    tip.style.top = `${Math.max(0, dot.y - tip.offsetHeight - 8)}px`;
  });
  picture.addEventListener("pointerleave", () => { tip.hidden = true; });
  picture.addEventListener("click", (event) => { const dot = nearest(event), where = dot && address(data.ids[dot.run]); if (where) location.href = where; });
  const fill = () => tools.replaceChildren(select("Across", axes, chosen.x, (axis) => { chosen.x = axis; again(); }), select("Up", axes, chosen.y, (axis) => { chosen.y = axis; chosen.fixed = true; again(); }),
    el("label", {}, el("input", { type: "checkbox", checked: chosen.surface, onchange: (event) => { chosen.surface = event.target.checked; if (chosen.surface && chosen.y === state.goal) { chosen.y = numeric.find((axis) => axis !== chosen.x) ?? axes.find((axis) => axis !== chosen.x && axis !== state.goal) ?? chosen.y; chosen.fixed = true; fill(); } again(); } }), "Contour of the metric"));
  fill();
  state.listeners.push(() => { follow(); fill(); again(); });
}

/** The metric between the runs: a mean weighted by nearness, in bands with lines between them. */
function surface(pen, dots, area) {
  const known = dots.filter((dot) => dot.share !== null);
  if (known.length < 3) return;
  const COLUMNS = 72, ROWS = 44, BANDS = 9;
  const sigma = Math.max(area.wide, area.high) * Math.max(0.05, 0.35 / Math.sqrt(known.length)) + 8;
  const grid = new Float64Array((COLUMNS + 1) * (ROWS + 1)), part = known.length > 1500 ? known.filter((_, at) => at % Math.ceil(known.length / 1500) === 0) : known;
  for (let row = 0; row <= ROWS; row++) for (let column = 0; column <= COLUMNS; column++) {
    const x = area.left + (area.wide * column) / COLUMNS, y = area.top + (area.high * row) / ROWS;
    let sum = 0, weight = 0;
    for (const dot of part) { const near = Math.exp(-((dot.x - x) ** 2 + (dot.y - y) ** 2) / (2 * sigma * sigma)) + 1e-9; sum += near * dot.share; weight += near; }
    grid[row * (COLUMNS + 1) + column] = sum / weight;
  }
  const wide = area.wide / COLUMNS, high = area.high / ROWS;
  for (let row = 0; row < ROWS; row++) for (let column = 0; column < COLUMNS; column++) {
    const at = row * (COLUMNS + 1) + column, mean = (grid[at] + grid[at + 1] + grid[at + COLUMNS + 1] + grid[at + COLUMNS + 2]) / 4;
    pen.fillStyle = ink((Math.floor(mean * BANDS) + 0.5) / BANDS, 0.85);
    pen.fillRect(area.left + column * wide, area.top + row * high, wide + 0.6, high + 0.6);
  }
  pen.strokeStyle = colour("--surface");
  pen.globalAlpha = 0.6;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let band = 1; band < BANDS; band++) {
    const level = band / BANDS;
    for (let row = 0; row < ROWS; row++) for (let column = 0; column < COLUMNS; column++) {
      const at = row * (COLUMNS + 1) + column;
      const corners = [[0, 0, grid[at]], [1, 0, grid[at + 1]], [1, 1, grid[at + COLUMNS + 2]], [0, 1, grid[at + COLUMNS + 1]]];
      const cuts = [];
      for (let side = 0; side < 4; side++) {
        const [x1, y1, v1] = corners[side], [x2, y2, v2] = corners[(side + 1) % 4];
        if ((v1 < level) === (v2 < level)) continue;
        const share = (level - v1) / (v2 - v1);
        cuts.push([area.left + (column + x1 + (x2 - x1) * share) * wide, area.top + (row + y1 + (y2 - y1) * share) * high]);
      }
      for (let cut = 0; cut + 1 < cuts.length; cut += 2) { pen.moveTo(...cuts[cut]); pen.lineTo(...cuts[cut + 1]); }
    }
  }
  pen.stroke();
  pen.globalAlpha = 1;
}

// Importance

function importance(plot, state, important) {
  let newest = 0;
  const load = async () => {
    if (state.goal.family !== "metrics") { plot.replaceChildren(el("p", { class: "muted" }, "Choose a metric.")); return; }
    const mine = ++newest;
    try {
      const found = await important(state.goal.title);
      if (mine !== newest) return;
      if (!found.rows.length) { plot.replaceChildren(el("p", { class: "muted" }, "Too few runs to tell, or no param differs.")); return; }
      const most = Math.max(...found.rows.map((row) => row.share), 0.01);
      plot.replaceChildren(el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Which params matter" }, el("table", { class: "values" },
        el("thead", {}, el("tr", {}, ...["Param", "Tells of the metric", "Correlation"].map((title, at) => el("th", { scope: "col", class: at === 2 ? "number" : "" }, title)))),
        el("tbody", {}, ...found.rows.map((row) => {
          const bar = el("span", { class: "bar-of" });
          bar.style.width = `${(100 * row.share) / most}%`;
          return el("tr", {}, el("th", { scope: "row" }, row.name), el("td", { class: "bars", title: `${row.count} runs` }, bar, el("span", {}, `${Math.round(row.share * 100)} %`)), el("td", { class: "number" }, row.correlation === null ? "" : `${row.correlation > 0 ? "+" : "−"}${Math.abs(row.correlation).toFixed(2)}`));
        })))));
    } catch (error) { fail(error); }
  };
  let shown = state.goal;
  state.listeners.push(() => { if (state.goal !== shown) { shown = state.goal; load(); } });
  load();
}

// Boxes: quartiles of the metric for each value of a param

function boxes(card, data, state, params) {
  const chosen = { by: params.find((axis) => axis.labels) ?? params[0] };
  const plot = card("Metric by param", "half");
  const tools = el("div", { class: "chart-tools" }, select("Param", params, chosen.by, (axis) => { chosen.by = axis; again(); }));
  plot.before(tools);
  const LEFT = 60, RIGHT = 12, TOP = 8, BOTTOM = 26;
  const groups = () => {
    const axis = chosen.by, pairs = data.ids.map((_, run) => [axis.values[run], state.goal.values[run], run]).filter(([value, goal, run]) => value !== null && goal !== null && (!state.kept || state.kept[run]));
    const different = [...new Set(pairs.map(([value]) => value))].sort((one, other) => one - other);
    if (axis.labels || different.length <= 10) return different.slice(0, 24).map((value) => [tell(axis, value), pairs.filter(([one]) => one === value).map(([, goal]) => goal)]);
    pairs.sort(([one], [other]) => one - other);
    const size = Math.ceil(pairs.length / 6);
    return [...Array(Math.ceil(pairs.length / size)).keys()].map((at) => { const part = pairs.slice(at * size, (at + 1) * size); return [`${short(part[0][0])} – ${short(part.at(-1)[0])}`, part.map(([, goal]) => goal)]; });
  };
  const quantile = (sorted, share) => { const at = (sorted.length - 1) * share, low = Math.floor(at); return sorted[low] + ((sorted[low + 1] ?? sorted[low]) - sorted[low]) * (at - low); };
  const draw = (pen, wide, high) => {
    const found = groups(), up = scale(state.goal), y = (value) => TOP + 6 + (1 - up.share(value)) * (high - TOP - BOTTOM - 12);
    pen.fillStyle = colour("--muted");
    pen.strokeStyle = colour("--line");
    pen.textAlign = "right";
    for (const [share, text] of up.ticks) { const at = Math.round(TOP + 6 + (1 - share) * (high - TOP - BOTTOM - 12)) + 0.5; pen.beginPath(); pen.moveTo(LEFT, at); pen.lineTo(wide - RIGHT, at); pen.stroke(); pen.fillText(text, LEFT - 6, at + 4); }
    pen.textAlign = "center";
    const room = (wide - LEFT - RIGHT) / Math.max(found.length, 1);
    found.forEach(([name, goals], at) => {
      const sorted = goals.sort((one, other) => one - other), x = LEFT + room * (at + 0.5), half = Math.min(room * 0.3, 34);
      const [low, lower, middle, upper, top] = [0, 0.25, 0.5, 0.75, 1].map((share) => y(quantile(sorted, share)));
      pen.strokeStyle = colour("--accent");
      pen.lineWidth = 1.4;
      pen.beginPath(); pen.moveTo(x, low); pen.lineTo(x, lower); pen.moveTo(x, upper); pen.lineTo(x, top); pen.moveTo(x - half / 2, low); pen.lineTo(x + half / 2, low); pen.moveTo(x - half / 2, top); pen.lineTo(x + half / 2, top); pen.stroke();
      pen.globalAlpha = 0.18; pen.fillStyle = colour("--accent"); pen.fillRect(x - half, upper, half * 2, lower - upper); pen.globalAlpha = 1;
      pen.strokeRect(x - half, upper, half * 2, lower - upper);
      pen.lineWidth = 2.4;
      pen.beginPath(); pen.moveTo(x - half, middle); pen.lineTo(x + half, middle); pen.stroke();
      pen.fillStyle = colour("--muted");
      let text = `${name} (${goals.length})`;
      if (pen.measureText(text).width > room - 4) text = name;
      while (text.length > 2 && pen.measureText(text).width > room - 4) text = `${text.slice(0, -2)}…`;
      pen.fillText(text, x, high - 8);
    });
    picture?.setAttribute("aria-label", `${state.goal.title} by ${chosen.by.title}: ${found.map(([name, goals]) => `${name}: median ${short(quantile(goals, 0.5))} of ${goals.length}`).join(", ")}`);
  };
  let picture = null;
  const [made, again] = canvas(plot, draw, "Boxes");
  picture = made;
  state.listeners.push(again);
}
