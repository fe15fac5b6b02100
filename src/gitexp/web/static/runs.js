// The list of runs: what is asked for stands in the address, the grid shows it.

import { $, $$, ask, canWrite, el, fail, field, getJSON, item, menu, onChange, onKey, send, toast } from "./page.js";
import { Grid } from "./grid.js";
import { SearchBox, showTrouble } from "./search.js";

const box = $("#grid");
const state = JSON.parse($("#state").textContent);
const WIDTHS = `gitexp-widths:${location.host}`;
const MOST_COMPARED = 200;
let query = new URLSearchParams(location.search);
let columns = state.columns;
let version = state.version;
let total = state.total;
let open = new Set();
let groups = null;
let live = "";

const listOf = (name) => { try { const found = JSON.parse(query.get(name) || "null"); return Array.isArray(found) ? found : null; } catch { return null; } };
const widths = () => { try { return JSON.parse(localStorage.getItem(WIDTHS)) || {}; } catch { return {}; } };
const keepWidths = (found) => { try { localStorage.setItem(WIDTHS, JSON.stringify(found)); } catch { /* storage is off */ } };
const pinned = () => new Set(listOf("pin") ?? ["run.name"]);
const order = () => new Map((query.get("sort") || "").split(",").filter(Boolean).map((part) => [part.trim().replace(/^-/, ""), part.trim().startsWith("-") ? "descending" : "ascending"]));

function asked(more = {}) {
  const found = new URLSearchParams(query);
  for (const name of ["view", "offset", "pin"]) found.delete(name);
  if (!("group" in more)) { found.delete("by"); found.delete("group"); }
  for (const [name, value] of Object.entries(more)) found.set(name, value);
  return found;
}

/** Ask for something else: change the address and show what it says. */
async function change(changes, { replace = false, isTyping = false } = {}) {
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    if (Array.isArray(value)) value.forEach((one) => query.append(name, one));
    else if (value) query.set(name, value);
  }
  query.delete("offset");
  const address = `/runs${query.size ? `?${query}` : ""}`;
  if (replace || isTyping) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  await reload({ isTyping });
}

const load = (more) => (offset, limit) => getJSON(`/api/runs?${asked({ ...more, offset, limit })}`);

let newest = 0;
async function reload({ keep = false, isTyping = false } = {}) {
  const mine = ++newest;
  try {
    const from = keep && !query.get("by") ? Math.max(0, Math.floor(box.scrollTop / grid.height / 100) * 100) : 0;
    const found = await getJSON(`/api/runs?${asked({ offset: from, limit: 100 })}`);
    if (mine !== newest) return;
    if (found.trouble) {
      const isUnfinished = isTyping && found.trouble.position >= [...(found.trouble.text ?? "").trimEnd()].length;
      if (!isUnfinished) showTrouble(found.trouble);
      return;
    }
    const byGroup = query.get("by") ? await getJSON(`/api/groups?${withGroup()}`) : null;
    if (mine !== newest) return;
    showTrouble(null);
    groups = byGroup?.groups ?? null;
    show(found, from, keep);
  } catch (error) {
    if (mine === newest) fail(error);
  }
}
function withGroup() { const found = asked(); found.set("by", query.get("by")); return found; }

function show(found, from, keep) {
  total = found.total;
  version = found.version;
  $("#count").textContent = `${total.toLocaleString()} ${total === 1 ? "run" : "runs"}${groups ? ` in ${groups.length.toLocaleString()} groups` : ""}`;
  const before = JSON.stringify([columns, [...grid.order]]);
  columns = found.columns;
  if (!grid.columns.length || JSON.stringify([columns, [...order()]]) !== before || !keep) setColumns();
  if (groups) grid.show(groups.flatMap(segmentsOf), keep);
  else {
    const rows = [];
    found.rows.forEach((row, at) => { rows[from + at] = row; });
    grid.show([grid.list(load({}), total, rows)], keep);
  }
  $("#nothing")?.remove();
  if (!total) box.append(el("p", { class: "empty", id: "nothing" }, "No run matches."));
}
function segmentsOf(group) {
  const line = grid.group(group, open.has(group.key));
  if (!open.has(group.key)) return [line];
  return [line, grid.list(load({ by: query.get("by"), group: group.key }), group.count)];
}
function setColumns() {
  const first = pinned();
  const sorted = [...columns].sort((one, other) => first.has(other.name) - first.has(one.name));
  const places = sorted.map((column) => columns.indexOf(column));
  if (places.some((place, at) => place !== at)) { change({ cols: JSON.stringify(sorted.map((column) => column.name)) }, { replace: true }); return; }
  grid.setColumns(columns, { pinned: first, widths: widths(), order: order() });
}

const names = () => columns.map((column) => column.name);
const useColumns = (found) => change({ cols: JSON.stringify(found) });

const grid = new Grid(box, {
  open: (row) => { location.href = `/runs/${row.id}`; },
  failed: fail,
  picked: showSelected,
  loaded: (found) => { if (found.version !== version) reload({ keep: true }); },
  grouped: (group) => {
    if (open.has(group.key)) open.delete(group.key); else open.add(group.key);
    grid.show(groups.flatMap(segmentsOf), true);
  },
  sorted: (column, further) => {
    const before = order(), was = before.get(column.sort);
    const first = column.better === "higher" || column.name === "run.start" ? "descending" : "ascending";
    const next = !was ? first : was === first ? (first === "ascending" ? "descending" : "ascending") : null;
    if (!further) before.clear();
    if (next) before.set(column.sort, next); else before.delete(column.sort);
    change({ sort: [...before].map(([name, way]) => (way === "descending" ? `-${name}` : name)).join(",") });
  },
  moved: (name, target) => {
    if (name === target) return;
    const found = names().filter((one) => one !== name);
    found.splice(found.indexOf(target), 0, name);
    useColumns(found);
  },
  sized: (column, width) => {
    const found = widths();
    if (width) found[column.name] = width; else delete found[column.name];
    keepWidths(found);
    setColumns();
  },
});

// Selected runs

function showSelected(rows) {
  const place = $("#selected");
  place.hidden = !rows.length;
  if (!rows.length) { place.replaceChildren(); return; }
  const ids = rows.map((row) => row.id), gone = rows.every((row) => row.deleted);
  const button = (text, act, props = {}) => el("button", { type: "button", onclick: act, ...props }, text);
  place.replaceChildren(
    el("strong", {}, `${rows.length.toLocaleString()} selected`),
    button("Compare", () => compare(ids), { class: "main", disabled: rows.length < 2 }),
    ...(canWrite ? [button("Tag", () => tag(ids)), button("Note", () => note(rows)), gone ? button("Restore", () => apply("restore", ids)) : button("Delete", () => remove(rows), { class: "danger" })] : []),
    button("Export", (event) => menu(event.currentTarget, (shown) => shown.append(...exports(ids)))),
    el("span", { class: "spring" }),
    button("Clear", () => grid.clear()));
}
function compare(ids) {
  if (ids.length > MOST_COMPARED) { toast(`At most ${MOST_COMPARED} chosen runs can be compared.`, true); return; }
  location.href = `/compare?${new URLSearchParams({ runs: ids.join(",") })}`;
}
async function apply(action, ids, more = {}) {
  try {
    const found = await send("/api/change", { action, ids, ...more });
    toast(`${found.done}.`);
    found.problems.forEach((problem) => toast(problem, true));
    grid.clear();
    await reload({ keep: true });
  } catch (error) { fail(error); }
}
async function tag(ids) {
  const entered = await ask(`Tag ${ids.length === 1 ? "the run" : `${ids.length} runs`}`, [
    field("Tags to set: key=value or a word, one a line", el("textarea", { name: "set", rows: 3 })),
    field("Tags to take away", el("input", { type: "text", name: "remove" }))], { act: "Tag" });
  if (!entered) return;
  const words = (text) => text.split(/[\n,]/).map((word) => word.trim()).filter(Boolean);
  const set = Object.fromEntries(words(entered.get("set")).map((word) => { const at = word.indexOf("="); return at < 0 ? [word, ""] : [word.slice(0, at).trim(), word.slice(at + 1).trim()]; }));
  apply("tag", ids, { set, remove: words(entered.get("remove")) });
}
async function note(rows) {
  const entered = await ask(`Note on ${rows.length === 1 ? rows[0].name : `${rows.length} runs`}`, [field("In Markdown; replaces what is there", el("textarea", { name: "text", rows: 8 }))]);
  if (entered) apply("note", rows.map((row) => row.id), { text: entered.get("text") });
}
async function remove(rows) {
  const many = rows.length === 1 ? `'${rows[0].name}'` : `${rows.length} runs`;
  if (await ask(`Delete ${many}?`, [el("p", {}, "They are marked as deleted, and can be restored until 'gitexp gc' frees them.")], { act: "Delete", danger: true })) apply("remove", rows.map((row) => row.id));
}
function exports(ids) {
  return [["CSV", "csv"], ["JSON", "json"], ["Markdown", "md"]].map(([text, form]) => item(text, () => {
    const found = ids ? new URLSearchParams() : asked();
    ids?.forEach((id) => found.append("id", id));
    found.set("cols", JSON.stringify(names()));
    location.href = `/export/runs.${form}?${found}`;
    $(".menu")?.shut();
  }, ids ? `${ids.length}` : `${total.toLocaleString()}`));
}

// The tools above the table

const where = new SearchBox($("#where"), (text, isTyping) => {
  if (text.trim() !== (query.get("where") || "")) change({ where: text.trim() }, { isTyping });
  else if (!isTyping) reload();
});

$("#group-by").addEventListener("click", async (event) => {
  const found = await getJSON(`/api/columns?${asked()}`).catch(fail);
  if (!found) return;
  menu(event.target, (shown) => {
    const choose = (by) => { shown.shut(); open = new Set(); change({ by }); };
    const usual = [["Experiment", "run.experiment"], ["Parent run", "run.parent"], ["Status", "run.status"], ["Author", "run.author"], ["Branch", "run.branch"]];
    shown.append(item("Not at all", () => choose("")), el("hr"), ...usual.map(([text, by]) => item(text, () => choose(by), query.get("by") === by ? "now" : "")));
    for (const [title, family] of [["Params", "params."], ["Tags", "tags."]]) {
      const keys = found.columns.filter((column) => column.name.startsWith(family) && column.differs);
      if (keys.length) shown.append(el("h3", {}, title), ...keys.slice(0, 100).map((column) => item(column.title, () => choose(column.name), query.get("by") === column.name ? "now" : "")));
    }
  });
});

$("#columns").addEventListener("click", async (event) => {
  const found = await getJSON(`/api/columns?${asked()}`).catch(fail);
  if (!found) return;
  menu(event.target, (shown) => fillColumns(shown, found.columns));
});
function fillColumns(shown, all) {
  const rows = el("div");
  const filter = el("input", { type: "text", placeholder: "Find a column", "aria-label": "Find a column" });
  const title = (name) => all.find((column) => column.name === name)?.title ?? name;
  const put = async (changes) => { await change(changes); draw(); };
  const draw = () => {
    const wanted = filter.value.toLowerCase(), chosen = names(), first = pinned();
    const fits = (name) => name.toLowerCase().includes(wanted);
    const line = (name, at) => el("div", { class: "choice" }, el("label", { class: "choice" }, el("input", { type: "checkbox", checked: at >= 0, onchange: () => put({ cols: JSON.stringify(at >= 0 ? chosen.filter((one) => one !== name) : [...chosen, name]) }) }), el("span", {}, title(name))),
      el("span", { class: "spring" }),
      at >= 0 ? el("button", { type: "button", class: "quiet", "aria-pressed": String(first.has(name)), "aria-label": `Pin ${title(name)}`, title: "Pin", onclick: () => { if (!first.delete(name)) first.add(name); put({ pin: JSON.stringify([...first]) }); } }, "⇤") : null,
      at > 0 ? el("button", { type: "button", class: "quiet", "aria-label": `Move ${title(name)} left`, title: "Move left", onclick: () => { const next = chosen.filter((one) => one !== name); next.splice(at - 1, 0, name); put({ cols: JSON.stringify(next) }); } }, "↑") : null);
    const rest = (family, keep = () => true) => all.filter((column) => !chosen.includes(column.name) && column.name.startsWith(family) && keep(column) && fits(column.name)).slice(0, 200);
    const part = (text, list) => (list.length ? [el("h3", {}, text), ...list.map((column) => line(column.name, -1))] : []);
    const folded = rest("params.", (column) => !column.differs);
    rows.replaceChildren(
      el("h3", {}, "Shown"), ...chosen.map((name, at) => (fits(name) ? line(name, at) : null)).filter(Boolean),
      ...part("Metrics", rest("metrics.")), ...part("Params that differ", rest("params.", (column) => column.differs)), ...part("Tags", rest("tags")), ...part("About the run", rest("run.")), ...part("Curves", rest("spark.")),
      ...(folded.length ? [el("details", { open: !!wanted }, el("summary", { class: "pad muted" }, `${folded.length} params that are the same in all`), ...folded.map((column) => line(column.name, -1)))] : []),
      el("hr"), item("As at first", () => put({ cols: "", pin: "" })));
  };
  filter.addEventListener("input", draw);
  shown.append(el("div", { class: "pad" }, filter), rows);
  draw();
}

$("#more").addEventListener("click", (event) => menu(event.target, (shown) => {
  const deleted = query.get("deleted");
  shown.append(
    item(deleted ? "Hide deleted runs" : "Show deleted runs", () => { shown.shut(); change({ deleted: deleted ? "" : "only" }); }),
    item("Compare all that are listed", () => { location.href = `/compare/plots?${asked()}`; }),
    el("hr"), el("h3", {}, "Export all that are listed"), ...exports(null));
}));

// Saved views

async function showViews() {
  const found = await getJSON("/api/views").catch(() => ({ views: [] }));
  const place = $("#views ul");
  place.replaceChildren(...found.views.map((view) => el("li", {}, el("a", { href: `/runs?${view.query}` }, el("span", {}, view.name)))));
  $("#views").hidden = !found.views.length;
  return found.views;
}
$("#save-view").addEventListener("click", async (event) => {
  const views = await showViews();
  menu(event.target, (shown) => {
    if (canWrite) shown.append(item("Save what is shown …", async () => {
      shown.shut();
      const entered = await ask("Save this view", [field("Name", el("input", { type: "text", name: "name", required: true })), el("p", { class: "muted" }, "It is kept in git, and goes to others with gitexp push.")]);
      if (!entered) return;
      const kept = new URLSearchParams(query);
      kept.set("cols", JSON.stringify(names()));
      try { await send("/api/views", { name: entered.get("name"), query: kept.toString() }); toast("Saved."); showViews(); } catch (error) { fail(error); }
    }));
    if (canWrite && views.length) shown.append(el("hr"), el("h3", {}, "Forget"), ...views.map((view) => item(view.name, async () => {
      shown.shut();
      try { await send("/api/views", { name: view.name, remove: true }); toast(`Forgot '${view.name}'.`); showViews(); } catch (error) { fail(error); }
    })));
    if (views.length) shown.append(el("hr"), el("h3", {}, "Open"), ...views.map((view) => item(view.name, () => { location.href = `/runs?${view.query}`; })));
    if (!shown.children.length) shown.append(el("p", { class: "pad muted" }, "No view is saved."));
  });
});

// Experiments: a click shows one, with Ctrl or ⌘ one more

$("#experiments").addEventListener("click", (event) => {
  const name = event.target.closest("a[data-experiment]")?.dataset.experiment;
  if (name === undefined || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  const chosen = new Set(query.getAll("e"));
  if (!chosen.delete(name)) chosen.add(name);
  query.delete("e");
  chosen.forEach((one) => query.append("e", one));
  location.href = `/runs?${query}`;
});

// Keys

onKey("/", "search", () => $("#where").focus());
onKey("j", "next run", () => { grid.table.focus(); grid.move(1); });
onKey("k", "run before", () => { grid.table.focus(); grid.move(-1); });
onKey("J", "select to the next run", () => grid.move(1, true));
onKey("K", "select to the run before", () => grid.move(-1, true));
onKey("x", "select the run", () => grid.toggle());
onKey("Enter", "open the run, or the group", () => grid.open());
onKey("g", "group", () => $("#group-by").click());
onKey("o", "columns", () => $("#columns").click());
onKey("v", "views", () => $("#save-view").click());
onKey("c", "compare what is selected", () => { const ids = [...grid.picked.keys()]; if (ids.length > 1) compare(ids); });
if (canWrite) {
  onKey("#", "delete what is selected", () => { if (grid.picked.size) remove([...grid.picked.values()]); });
  onKey("e", "tag what is selected", () => { if (grid.picked.size) tag([...grid.picked.keys()]); });
}
onKey("Escape", "select nothing", () => grid.clear());

addEventListener("popstate", () => { query = new URLSearchParams(location.search); $("#where").value = query.get("where") || ""; reload(); });

onChange((now) => {
  const mark = JSON.stringify(now.live);
  if (now.version !== version || (live && mark !== live)) reload({ keep: true });
  live = mark;
});

showTrouble(state.trouble);
if (query.get("by") || query.get("offset")) reload();
else show({ ...state }, 0, false);
document.documentElement.dataset.ready = "true";
