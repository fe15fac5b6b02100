// One run: its charts, its output as it comes, and what can be done to it.

import { $, $$, ask, canWrite, el, fail, field, getJSON, onChange, onKey, send, toast } from "./page.js";

const state = JSON.parse($("#state").textContent);
const side = location.pathname.split("/")[3] ?? "";

// Charts

let charts = [];
if ($("#charts")) {
  const { board } = await import("./chart.js");
  charts = board($("#chart-tools"), $$("#charts .chart"), JSON.parse($("#curves").textContent), { x: side === "system" ? "relative" : "step" });
}

// What can be done to it

async function apply(action, more) {
  try {
    const found = await send("/api/change", { action, ids: [state.id], ...more });
    if (found.problems.length) found.problems.forEach((problem) => toast(problem, true));
    else location.reload();
  } catch (error) { fail(error); }
}
async function tag() {
  const entered = await ask("Tag the run", [field("key=value or a word, one a line", el("textarea", { name: "set", rows: 3 })), field("Tags to take away", el("input", { type: "text", name: "remove" }))], { act: "Tag" });
  if (!entered) return;
  const words = (text) => text.split(/[\n,]/).map((word) => word.trim()).filter(Boolean);
  apply("tag", { set: Object.fromEntries(words(entered.get("set")).map((word) => { const at = word.indexOf("="); return at < 0 ? [word, ""] : [word.slice(0, at).trim(), word.slice(at + 1).trim()]; })), remove: words(entered.get("remove")) });
}
async function note() {
  const entered = await ask("Note", [field("In Markdown", el("textarea", { name: "text", rows: 12, value: JSON.parse($("#note-text").textContent) ?? "" }))]);
  if (entered) apply("note", { text: entered.get("text") });
}
async function rename() {
  const entered = await ask("Rename the run", [field("Name", el("input", { type: "text", name: "name", value: state.name, required: true }))], { act: "Rename" });
  if (entered) apply("rename", { name: entered.get("name") });
}
async function remove() {
  if (await ask(`Delete '${state.name}'?`, [el("p", {}, "It is marked as deleted, and can be restored until 'gitexp gc' frees it.")], { act: "Delete", danger: true })) apply("remove");
}
$("#do-tag")?.addEventListener("click", tag);
$("#do-note")?.addEventListener("click", note);
$("#do-rename")?.addEventListener("click", rename);
$("#do-remove")?.addEventListener("click", remove);
$("#do-restore")?.addEventListener("click", () => apply("restore"));
if (canWrite && $("#do-tag")) { onKey("e", "tag the run", tag); onKey("n", "write a note", note); }
onKey("u", "back to the runs", () => { location.href = "/runs"; });
onKey("[", "side before", () => step(-1));
onKey("]", "next side", () => step(1));
function step(by) {
  const tabs = $$(".tabs a");
  tabs[tabs.findIndex((tab) => tab.hasAttribute("aria-current")) + by]?.click();
}

// A live run

const output = $("#output");
const follow = $("#follow");
if (output && (state.live || location.hash === "#end")) output.scrollTop = output.scrollHeight;
output?.addEventListener("scroll", () => { if (follow && output.scrollTop + output.clientHeight < output.scrollHeight - 40) follow.checked = false; });

async function moreOutput() {
  const found = await getJSON(`/api/runs/${state.id}/output?from=${output.dataset.next}`);
  output.dataset.next = found.next;
  output.append(...found.lines.flatMap((line) => [...line.map(([classes, text]) => (classes ? el("span", { class: classes }, text) : text)), "\n"]));
  if (follow?.checked) output.scrollTop = output.scrollHeight;
}
async function moreFacts() {
  const found = await getJSON(`/api/runs/${state.id}/facts`);
  $$("[data-metric]").forEach((place) => {
    const text = found.metrics[place.dataset.metric];
    if (text !== undefined) ($("b", place) ?? place).textContent = text;
  });
  const known = new Set($$("[data-metric]").map((place) => place.dataset.metric));
  charts.forEach((chart) => { if (chart.seen && chart.view[0] === null) chart.load(); });
  const shows = { "": (key) => !key.startsWith("system/"), charts: (key) => !key.startsWith("system/"), system: (key) => key.startsWith("system/") }[side];
  if (shows && Object.keys(found.metrics).some((key) => shows(key) && !known.has(key))) location.reload();
}
if (state.live) {
  let looking = null;
  onChange((now) => {
    if (!(state.id in now.live)) { location.reload(); return; }
    moreFacts().catch(fail);
  });
  if (output) {
    const look = () => { looking ??= moreOutput().catch(fail).finally(() => { looking = null; }); };
    look();
    setInterval(() => { if (!document.hidden) look(); }, 1000);
  }
}
document.documentElement.dataset.ready = "true";
