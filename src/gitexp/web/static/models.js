// Registered models: what can be done to them, each with a reason for the history; the list finds while one types.

import { $, $$, canWrite, el, field, item, menu, onKey, send } from "./page.js";

const state = $("#state") ? JSON.parse($("#state").textContent) : {};
const STAGES = ["production", "staging", "archived", "none"];

/** What the server refused, each condition in a line of its own. */
function problem(error) {
  const [first, ...rest] = error.message.split("\n");
  return el("div", { class: "refused" }, el("b", {}, first),
    rest.length ? el("ul", {}, ...rest.map((line) => el("li", {}, line.trim()))) : null,
    error.told?.hint ? el("small", {}, error.told.hint) : null);
}

/** Ask, and stay open with what is wrong until the server agrees. */
function change(title, fields, data, { act = "Save", danger = false } = {}) {
  const alert = el("div", { role: "alert" });
  const button = el("button", { type: "submit", class: danger ? "danger" : "main" }, act);
  const reason = el("textarea", { name: "reason", rows: 2, class: "reason-box" });
  const form = el("form", {}, el("h2", {}, title), ...fields, field("Why, for the audit log", reason), alert,
    el("div", { class: "row" }, el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button));
  const dialog = el("dialog", { "aria-label": title }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    alert.replaceChildren();
    try {
      const entered = new FormData(form);
      await send("/api/models/change", { reason: entered.get("reason"), ...data(entered) });
      location.reload();
    } catch (error) {
      button.disabled = false;
      alert.replaceChildren(problem(error));
      alert.scrollIntoView({ block: "nearest" });
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  ($("select, input, textarea", form) ?? button).focus();
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const pairs = (text) => Object.fromEntries(lines(text).map((line) => {
  const at = line.indexOf("=");
  return at < 0 ? [line, ""] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
}));
const versionOf = (address) => state.versions[address.slice(state.name.length + 1)];
const numberOf = (address) => address.slice(state.name.length + 1);
const isVersion = (address) => address !== state.name;
const said = (address) => (isVersion(address) ? versionOf(address) : state);

function stage(address) {
  const version = versionOf(address), number = numberOf(address);
  const start = version.stage === "production" ? "archived" : "production";
  const choice = el("select", { name: "stage" }, ...STAGES.map((name) => el("option", { value: name, selected: name === start }, name === version.stage ? `${name} (now)` : name)));
  const others = el("input", { type: "checkbox", name: "archive_others", checked: true });
  const text = el("span", {});
  const box = el("label", { class: "choice" }, others, text);
  const needs = el("div", {});
  const show = () => {
    const there = Object.entries(state.versions).filter(([other, one]) => one.stage === choice.value && !one.deleted && other !== number).map(([other]) => other);
    box.hidden = !there.length || !["production", "staging"].includes(choice.value);
    text.textContent = `Archive what is there now: version ${there.join(", ")}`;
    const asked = state.gates[choice.value] ?? [];
    needs.replaceChildren(...(asked.length ? [el("p", { class: "muted" }, "It must meet:"), el("ul", { class: "checks" }, ...asked.map((condition) => el("li", {}, el("span", { "aria-hidden": "true" }, "•"), el("code", {}, condition))))] : []));
    needs.hidden = !asked.length;
  };
  choice.addEventListener("change", show);
  show();
  change(`Move ${address} to a stage`, [field("Stage", choice), box, needs],
    (entered) => ({ action: "stage", address, stage: entered.get("stage"), archive_others: !box.hidden && entered.get("archive_others") !== null }), { act: "Move" });
}
function alias(address) {
  const known = el("datalist", { id: "known-aliases" }, ...Object.keys(state.aliases).map((name) => el("option", { value: name })));
  const name = el("input", { type: "text", name: "alias", required: true, autocomplete: "off", placeholder: "champion" });
  name.setAttribute("list", "known-aliases");
  const note = el("small", { role: "status" });
  name.addEventListener("input", () => {
    const now = state.aliases[name.value], asked = state.gates[name.value];
    note.textContent = [now ? `It means version ${now} now.` : "", asked ? `It must meet: ${asked.join("; ")}.` : ""].join(" ").trim();
  });
  change(`Let an alias mean ${address}`, [field("Alias", name), known, note], (entered) => ({ action: "alias", address, alias: entered.get("alias").trim() }), { act: "Set" });
}
function unalias(address) {
  const names = Object.keys(state.aliases).filter((name) => String(state.aliases[name]) === numberOf(address));
  change("Take an alias away", [field("Alias", el("select", { name: "alias" }, ...names.map((name) => el("option", { value: name }, name))))],
    (entered) => ({ action: "unalias", address: state.name, alias: entered.get("alias") }), { act: "Take away", danger: true });
}
const describe = (address) => change(`Describe ${address}`, [field("In Markdown", el("textarea", { name: "text", rows: 8, value: said(address).description }))],
  (entered) => ({ action: "describe", address, text: entered.get("text") }));
function tag(address) {
  const old = said(address).tags;
  const text = Object.entries(old).map(([key, value]) => (value ? `${key}=${value}` : key)).join("\n");
  change(`Tags of ${address}`, [field("key=value or a word, one a line", el("textarea", { name: "set", rows: 5, value: text }))], (entered) => {
    const now = pairs(entered.get("set"));
    return { action: "tag", address, set: now, remove: Object.keys(old).filter((key) => !(key in now)) };
  });
}
const remove = (address) => change(`Remove ${address}?`, [el("p", {}, isVersion(address) ? "It is marked as removed, its aliases go, and its number is not given again. It can be restored." : "The model is marked as removed and no longer listed. It can be restored.")],
  () => ({ action: "remove", address }), { act: "Remove", danger: true });
const restore = (address) => change(`Restore ${address}`, [], () => ({ action: "restore", address }), { act: "Restore" });

const ACTS = { stage, alias, unalias, describe, tag, remove, restore };
const go = (path) => { location.href = path; };

document.addEventListener("click", (event) => {
  const act = event.target.closest?.("[data-do]"), more = event.target.closest?.("[data-menu]");
  if (act) ACTS[act.dataset.do](act.dataset.address);
  if (more) {
    const number = more.dataset.menu, address = `${state.name}/${number}`, version = state.versions[number];
    const page = `/models/${encodeURIComponent(state.name)}/${number}`;
    const rival = Object.entries(state.versions).find(([other, one]) => one.stage === "production" && !one.deleted && other !== number);
    menu(more, (box) => {
      const add = (text, doing) => box.append(item(text, () => { box.shut(); doing(); }));
      if (version.deleted) { add("Restore", () => restore(address)); return; }
      if (!more.dataset.rest) {
        add("Move to stage", () => stage(address));
        add("Set an alias", () => alias(address));
      }
      if (Object.values(state.aliases).some((target) => String(target) === number)) add("Take an alias away", () => unalias(address));
      add("Describe", () => describe(address));
      add("Tag", () => tag(address));
      if (rival && !more.dataset.rest) add("Compare with production", () => go(`${page}/compare`));
      box.append(el("hr"));
      add("Remove", () => remove(address));
    });
  }
});

// Registering

const form = $("#register");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const entered = new FormData(form), place = $(".problem", form), button = $("button[type=submit]", form);
  button.disabled = true;
  try {
    const made = await send("/api/models/change", {
      action: "register", run: state.run, path: entered.get("path"), name: entered.get("name").trim(),
      description: entered.get("description"), tags: pairs(entered.get("tags")), reason: entered.get("reason"),
    });
    location.href = made.address;
  } catch (error) { button.disabled = false; place.replaceChildren(problem(error)); }
});

// Finding, and keys

const find = $("#find");
find?.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of $$(".list-table tbody tr")) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
});
if (find) {
  onKey("/", "search", () => find.focus());
  find.addEventListener("keydown", (event) => { if (event.key === "Escape") find.blur(); });
}
if ($("#compare")) onKey("c", "compare with production", () => $("#compare").click());
const main = $("[data-do=stage]");
if (canWrite && main) {
  onKey("s", "move to a stage", () => stage(main.dataset.address));
  onKey("a", "set an alias", () => alias(main.dataset.address));
}
onKey("u", "back", () => go(state.name && location.pathname.split("/").length > 3 ? `/models/${encodeURIComponent(state.name)}` : "/models"));
document.documentElement.dataset.ready = "true";
