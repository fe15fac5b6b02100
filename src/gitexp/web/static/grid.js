// A table of any number of rows of which only those in sight are in the document.

import { $, $$, el, svg } from "./page.js";

const BEYOND = 8;
const PAGE = 100;

/** What the table shows, one after the other: rows of a list, or a line that stands for a group. */
class Rows {
  constructor(load, total, first = []) {
    this.load = load;
    this.count = total;
    this.pages = new Map();
    this.waiting = new Set();
    first.forEach((row, at) => { this.page(Math.floor(at / PAGE))[at % PAGE] = row; });
  }
  page(number) {
    if (!this.pages.has(number)) this.pages.set(number, []);
    return this.pages.get(number);
  }
  row(at) { return this.pages.get(Math.floor(at / PAGE))?.[at % PAGE]; }
  async need(from, to, done) {
    for (let number = Math.floor(from / PAGE); number <= Math.floor((to - 1) / PAGE); number++) {
      if (this.waiting.has(number)) continue;
      const first = Math.max(from, number * PAGE), last = Math.min(to, (number + 1) * PAGE);
      let isThere = true;
      for (let at = first; at < last && isThere; at++) isThere = !!this.row(at);
      if (isThere) continue;
      this.waiting.add(number);
      this.load(number * PAGE, PAGE).then((found) => {
        this.pages.set(number, found.rows);
        this.waiting.delete(number);
        done(found);
      }, (error) => { this.waiting.delete(number); done(null, error); });
    }
  }
}

export class Grid {
  /** @param {HTMLElement} box the scrolling box around a table; `on` has open, picked, sorted, moved, sized, grouped, failed; `plain`: names lead nowhere. */
  constructor(box, on) {
    this.box = box;
    this.on = on;
    this.table = $("table", box);
    this.body = $("tbody", box);
    this.columns = [];
    this.pinned = new Set();
    this.widths = {};
    this.order = new Map();
    this.segments = [];
    this.cursor = -1;
    this.anchor = -1;
    this.picked = new Map();
    this.top = el("tr", { class: "pad", "aria-hidden": "true" }, el("td"));
    this.bottom = el("tr", { class: "pad", "aria-hidden": "true" }, el("td"));
    this.lines = [];
    this.table.setAttribute("role", "grid");
    this.table.setAttribute("aria-multiselectable", "true");
    this.table.tabIndex = 0;
    this.box.removeAttribute("tabindex");
    this.sheet = new CSSStyleSheet();
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, this.sheet];
    box.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#soon()).observe(box);
    this.body.addEventListener("click", (event) => this.#clicked(event));
    this.table.addEventListener("keydown", (event) => this.#key(event));
  }

  get height() { return this.line ??= parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 32; }
  get count() { return this.segments.reduce((sum, segment) => sum + segment.count, 0); }

  setColumns(columns, { pinned, widths, order }) {
    const names = (list) => JSON.stringify(list.map((column) => column.name));
    if (names(columns) !== names(this.columns)) this.segments = []; // rows of other columns
    this.columns = columns;
    this.pinned = pinned;
    this.widths = widths;
    this.order = order;
    const group = $("colgroup", this.table);
    group.replaceChildren(el("col", { class: "pick" }), ...columns.map((column) => {
      const made = el("col", { class: column.kind });
      made.style.width = `${widths[column.name] ?? column.width}px`;
      return made;
    }));
    const all = el("input", { type: "checkbox", "aria-label": "Select the runs that are loaded", onchange: () => this.#pickAll(all.checked) });
    const head = $("thead tr", this.table);
    head.replaceChildren(el("th", { class: "pick", scope: "col" }, all), ...columns.map((column) => this.#heading(column)));
    this.lines = [];
    this.body.replaceChildren(this.top, this.bottom);
    this.top.firstChild.colSpan = this.bottom.firstChild.colSpan = columns.length + 1;
    this.#pin();
    this.draw();
  }

  /** Show these; `keep` leaves the place where one has scrolled to. */
  show(segments, keep = false) {
    const before = this.count, old = this.segments;
    this.segments = segments;
    this.table.setAttribute("aria-rowcount", this.count + 1);
    if (!keep) { this.cursor = this.anchor = -1; this.box.scrollTop = 0; }
    else if (old.length === segments.length && this.box.scrollTop > this.height) this.box.scrollTop += (this.count - before) * this.height;
    this.draw();
  }
  list(load, total, first) { return new Rows(load, total, first); }
  group(data, open) { return { count: 1, data, open }; }

  at(index) {
    for (const segment of this.segments) {
      if (index < segment.count) return [segment, index];
      index -= segment.count;
    }
    return [null, 0];
  }
  runAt(index) {
    const [segment, at] = this.at(index);
    return segment instanceof Rows ? segment.row(at) : null;
  }

  #soon() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
  }

  draw() {
    const high = this.height, total = this.count;
    const from = Math.max(0, Math.floor(this.box.scrollTop / high) - BEYOND);
    const to = Math.min(total, Math.ceil((this.box.scrollTop + this.box.clientHeight) / high) + BEYOND);
    while (this.lines.length < to - from) {
      const line = this.#line();
      this.bottom.before(line.row);
      this.lines.push(line);
    }
    this.lines.splice(Math.max(to - from, 0)).forEach((line) => line.row.remove());
    this.top.firstChild.style.height = `${from * high}px`;
    this.bottom.firstChild.style.height = `${(total - Math.max(to, from)) * high}px`;
    for (let index = from; index < to; index++) this.#fill(this.lines[index - from], index);
    this.#mark();
    let start = 0;
    for (const segment of this.segments) {
      if (segment instanceof Rows) {
        const first = Math.max(from - start, 0), last = Math.min(to - start, segment.count);
        if (first < last) segment.need(first, last, (found, error) => { if (error) this.on.failed(error); else { this.on.loaded?.(found); this.#soon(); } });
      }
      start += segment.count;
    }
  }

  #line() {
    const pick = el("input", { type: "checkbox" });
    const cells = this.columns.map((column) => el("td", { class: column.kind }));
    const row = el("tr", {}, el("td", { class: "pick" }, pick), ...cells);
    return { row, pick, cells, shown: null };
  }

  #fill(line, index) {
    const [segment, at] = this.at(index);
    line.index = index;
    line.row.setAttribute("aria-rowindex", index + 2);
    line.row.id = `row-${index}`;
    const data = segment instanceof Rows ? segment.row(at) : segment.data;
    if (line.shown === data && data && line.isOpen === segment.open) return;
    line.shown = data;
    line.isOpen = segment.open;
    const isRun = segment instanceof Rows;
    line.row.className = !data ? "blank" : isRun ? (data.deleted ? "deleted" : "") : "group";
    line.pick.hidden = !isRun;
    if (!data) { line.cells.forEach((cell) => cell.replaceChildren()); return; }
    if (!isRun) { this.#fillGroup(line, segment); return; }
    line.pick.setAttribute("aria-label", `Select ${data.name}`);
    this.columns.forEach((column, place) => this.#cell(line.cells[place], column, data, place));
  }

  #cell(cell, column, row, place) {
    const value = row.cells[place];
    cell.classList.toggle("best", row.best?.includes(place) ?? false);
    if (column.kind === "name") {
      cell.replaceChildren(el("i", { class: `state ${row.status}`, title: row.status }), el("i", { class: `dot hue-${row.colour}` }),
        el("span", { class: "hidden" }, row.status), this.on.plain ? el("span", { title: value }, value) : el("a", { href: `/runs/${row.id}`, tabIndex: -1, title: value }, value));
    } else if (column.kind === "tags") {
      cell.replaceChildren(...value.map(([key, text]) => el("span", { class: "tag" }, text ? `${key}=${text}` : key)));
    } else if (column.kind === "spark") {
      const points = value.map((y, at) => `${(100 * at) / (value.length - 1)},${19 - 18 * y}`).join(" ");
      cell.replaceChildren(...(value.length ? [svg("svg", { class: `spark hue-${row.colour}`, viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("polyline", { points }))] : []));
    } else {
      cell.textContent = value;
      cell.title = value.length > 14 ? value : "";
    }
  }

  #fillGroup(line, { data, open }) {
    this.columns.forEach((column, place) => {
      const cell = line.cells[place];
      cell.classList.remove("best");
      cell.title = "";
      if (place === 0) {
        cell.replaceChildren(el("button", { type: "button", tabIndex: -1, "aria-expanded": String(open), title: data.label }, open ? "▾" : "▸", ` ${data.label}`), el("small", {}, data.count.toLocaleString()));
      } else {
        const found = data.cells[column.name];
        cell.replaceChildren(...(found ? [found[0]] : []));
        if (found) cell.title = `mean ${found[0]}, from ${found[1]} to ${found[2]}`;
      }
    });
  }

  #mark() {
    for (const line of this.lines) {
      const picked = !!line.shown?.id && this.picked.has(line.shown.id);
      line.pick.checked = picked;
      line.row.classList.toggle("picked", picked);
      line.row.setAttribute("aria-selected", picked);
      line.row.classList.toggle("at", line.index === this.cursor);
    }
    if (this.cursor >= 0) this.table.setAttribute("aria-activedescendant", `row-${this.cursor}`);
    else this.table.removeAttribute("aria-activedescendant");
  }

  // Choosing

  pick(row, on) {
    if (on) this.picked.set(row.id, row);
    else this.picked.delete(row.id);
  }
  clear() { this.picked.clear(); this.#changed(); }
  #changed() { this.#mark(); this.on.picked([...this.picked.values()]); }
  #pickAll(on) {
    if (!on) this.picked.clear();
    else for (const segment of this.segments) if (segment instanceof Rows) for (const page of segment.pages.values()) page.forEach((row) => this.pick(row, true));
    this.#changed();
  }
  #pickTo(index, on) {
    const from = this.anchor < 0 ? index : this.anchor;
    for (let at = Math.min(from, index); at <= Math.max(from, index); at++) {
      const row = this.runAt(at);
      if (row) this.pick(row, on);
    }
    this.#changed();
  }

  #clicked(event) {
    const line = this.lines.find((one) => one.row.contains(event.target));
    if (!line?.shown) return;
    const row = line.shown;
    this.cursor = line.index;
    if (event.target.closest("td.pick")) {
      const on = event.target === line.pick ? line.pick.checked : !line.pick.checked;
      if (event.shiftKey) this.#pickTo(line.index, on);
      else { this.pick(row, on); this.#changed(); }
      this.anchor = line.index;
    } else if (line.row.classList.contains("group")) this.on.grouped(row);
    this.#mark();
  }

  move(by, extend = false) { this.go(Math.min(Math.max(this.cursor + by, 0), this.count - 1), extend); }
  go(index, extend = false) {
    if (this.count === 0) return;
    if (extend && this.anchor < 0) this.anchor = Math.max(this.cursor, 0);
    this.cursor = index;
    const head = $("thead", this.table).offsetHeight, top = index * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.height > this.box.scrollTop + this.box.clientHeight - head) this.box.scrollTop = top + this.height + head - this.box.clientHeight;
    this.draw();
    if (extend) this.#pickTo(index, true);
    else this.anchor = index;
  }
  toggle() {
    const row = this.runAt(this.cursor);
    if (row) { this.pick(row, !this.picked.has(row.id)); this.#changed(); }
  }
  open() {
    const [segment] = this.at(this.cursor);
    const row = this.runAt(this.cursor);
    if (row) this.on.open(row);
    else if (segment?.data) this.on.grouped(segment.data);
  }
  #key(event) {
    const page = Math.floor(this.box.clientHeight / this.height) - 2;
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.count, End: this.count };
    if (event.target.closest("input, th")) return;
    if (event.key in moves && !event.ctrlKey && !event.metaKey) { event.preventDefault(); this.move(moves[event.key], event.shiftKey); }
    else if (event.key === " ") { event.preventDefault(); this.toggle(); }
    else if (event.key === "Enter") { event.preventDefault(); this.open(); }
    else if (event.key === "Escape" && this.picked.size) this.clear();
  }

  // Headings

  #heading(column) {
    const place = [...this.order.keys()].indexOf(column.sort);
    const name = el("a", { href: "#", title: column.name, onclick: (event) => { event.preventDefault(); if (column.sort) this.on.sorted(column, event.shiftKey); } }, column.title,
      this.order.size > 1 && place >= 0 ? el("span", { class: "rank" }, String(place + 1)) : null);
    const handle = el("span", { class: "handle", "aria-hidden": "true" });
    const head = el("th", { scope: "col", class: column.kind, "data-name": column.name, draggable: true, "aria-sort": this.order.get(column.sort) }, column.sort ? name : el("span", { title: column.name }, column.title), handle);
    handle.addEventListener("pointerdown", (event) => this.#size(event, head, column));
    handle.addEventListener("dblclick", () => this.on.sized(column, null));
    head.addEventListener("dragstart", (event) => { event.dataTransfer.setData("text/plain", column.name); event.dataTransfer.effectAllowed = "move"; });
    head.addEventListener("dragover", (event) => { event.preventDefault(); head.classList.add("over"); });
    head.addEventListener("dragleave", () => head.classList.remove("over"));
    head.addEventListener("drop", (event) => { event.preventDefault(); head.classList.remove("over"); this.on.moved(event.dataTransfer.getData("text/plain"), column.name); });
    return head;
  }
  #size(event, head, column) {
    event.preventDefault();
    const start = event.clientX, before = head.offsetWidth, handle = event.target;
    const shown = $$("col", this.table)[head.cellIndex];
    handle.setPointerCapture(event.pointerId);
    const moving = (move) => { shown.style.width = `${Math.max(48, before + move.clientX - start)}px`; this.#pin(); };
    const done = () => {
      handle.removeEventListener("pointermove", moving);
      this.on.sized(column, Math.max(48, parseInt(shown.style.width || before, 10)));
    };
    handle.addEventListener("pointermove", moving);
    handle.addEventListener("pointerup", done, { once: true });
  }
  #pin() {
    const rules = [];
    let left = 0, last = 0;
    $$("thead th", this.table).forEach((head, at) => {
      if (at > 0 && !this.pinned.has(head.dataset.name)) return;
      rules.push(`.grid :is(th, td):nth-child(${at + 1}) { position: sticky; left: ${left}px; z-index: 2 } .grid th:nth-child(${at + 1}) { z-index: 4 }`);
      left += head.offsetWidth;
      last = at;
    });
    if (last) rules.push(`.grid tr:not(.pad) :is(th, td):nth-child(${last + 1}) { border-right: 1px solid var(--strong-line) }`);
    this.sheet.replaceSync(rules.join("\n"));
  }
}
