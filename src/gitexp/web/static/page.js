// What every page does: elements, requests, layers, keys, the theme, events from the server.

/** @returns {any} an element; `props` are properties, "aria-…", "data-…" and "class"; children are nodes or texts. */
export function el(name, props = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key.includes("-") || key === "role" || key === "for") made.setAttribute(key, value === true ? "" : value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

export class Refused extends Error {
  constructor(status, told) {
    super(told.error || "The server does not answer.");
    this.status = status;
    this.told = told;
  }
}

const token = $("meta[name=gitexp-token]")?.content ?? "";
export const canWrite = token !== "";

async function request(address, options) {
  let response;
  try { response = await fetch(address, options); }
  catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { error: "The server does not answer. Is gitexp ui still running?" });
  }
  if (response.ok) return response;
  throw new Refused(response.status, await response.json().catch(() => ({})));
}
export const getJSON = async (address, signal) => (await request(address, { signal })).json();
export const getBytes = async (address, signal) => (await request(address, { signal })).arrayBuffer();
export const send = async (address, data) => (await request(address, {
  method: "POST", headers: { "content-type": "application/json", "x-gitexp-token": token }, body: JSON.stringify(data),
})).json();

export function toast(text, bad = false) {
  const shown = el("div", { class: bad ? "toast bad" : "toast" }, text);
  $("#toasts").append(shown);
  setTimeout(() => shown.remove(), bad ? 9000 : 4000);
}
export function fail(error) {
  if (error.name !== "AbortError") toast([error.message, error.told?.hint].filter(Boolean).join(" "), true);
}

export async function copy(text) {
  try { await navigator.clipboard.writeText(text); toast("Copied."); }
  catch { toast("The browser does not let pages copy.", true); }
}

/** A menu below a button; `fill` puts what is in it. Escape, a click elsewhere and a second click close it. */
export function menu(button, fill) {
  const open = $(".menu");
  if (open) { const same = open.opener === button; open.shut(); if (same) return null; }
  const box = el("div", { class: "menu", role: "dialog", "aria-label": button.getAttribute("aria-label") || button.textContent });
  box.opener = button;
  const away = (event) => { if (!box.contains(event.target) && !button.contains(event.target)) box.shut(); };
  const keys = (event) => {
    if (event.key === "Escape") { event.stopPropagation(); box.shut(); button.focus(); }
    const items = $$("button.item, input, a", box);
    const at = items.indexOf(document.activeElement);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      items[(at + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]?.focus();
    }
  };
  box.shut = () => { box.remove(); button.setAttribute("aria-expanded", "false"); document.removeEventListener("pointerdown", away); };
  box.addEventListener("keydown", keys);
  document.addEventListener("pointerdown", away);
  button.setAttribute("aria-expanded", "true");
  fill(box);
  document.body.append(box);
  const at = button.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(at.left, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${Math.max(8, Math.min(at.bottom + 4, innerHeight - box.offsetHeight - 8))}px`;
  ($("input[type=text], button.item, input, a", box) ?? box).focus();
  return box;
}
export const item = (text, act, note) => el("button", { type: "button", class: "item", onclick: act }, el("span", {}, text), note ? el("small", {}, note) : null);

/** A question in a dialog. @returns {Promise<FormData|null>} what was entered; null where it was given up. */
export function ask(title, fields, { act = "Save", danger = false } = {}) {
  return new Promise((resolve) => {
    const form = el("form", { method: "dialog" },
      el("h2", {}, title), ...fields,
      el("div", { class: "row" },
        el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        el("button", { type: "submit", class: danger ? "danger" : "main" }, act)));
    const dialog = el("dialog", { "aria-label": title }, form);
    let entered = null;
    form.addEventListener("submit", () => { entered = new FormData(form); });
    dialog.addEventListener("close", () => { dialog.remove(); resolve(entered); });
    document.body.append(dialog);
    dialog.showModal();
    ($("input, textarea", form) ?? $("button[type=submit]", form)).focus();
  });
}
export const field = (label, input) => el("label", { class: "stack" }, el("span", { class: "muted" }, label), input);

// Theme

const THEMES = { auto: "follows the system", light: "light", dark: "dark" };
export function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("gitexp-theme", next); } catch { /* storage is off */ }
  $("#theme").setAttribute("aria-label", `Colour theme: ${THEMES[next]}`);
  toast(`Colours: ${THEMES[next]}.`);
  dispatchEvent(new Event("themechange"));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
$("#theme")?.addEventListener("click", nextTheme);

// Keys

const keys = new Map();
/** Do something at a key, where nobody is typing. `told` is what the help says. */
export function onKey(key, told, act) { keys.set(key, { told, act }); }
const isTyping = (target) => target.closest?.("input:not([type=checkbox]), textarea, select, dialog, .menu");
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const known = keys.get(event.key);
  if (known) { event.preventDefault(); known.act(event); }
});

const LANGUAGE = [
  ["metrics.loss < 0.3", "a metric's last value"], ["params.model = 'mlp'", "a param"], ["tags.best is not null", "a tag that is there"],
  ["run.start > -7d", "begun within seven days"], ["run.status in (failed, crashed)", "one of several"], ["run.name like 'base%'", "a pattern"],
  ["a and (b or not c)", "put together"],
];
export function showHelp() {
  if ($("dialog")) return;
  const rows = (pairs, tag) => el("dl", {}, ...pairs.flatMap(([name, told]) => [el("dt", {}, el(tag, {}, name)), el("dd", {}, told)]));
  const dialog = el("dialog", { "aria-label": "Help" }, el("div", { class: "body" },
    el("h2", {}, "Keys"), rows([...keys].filter(([, known]) => known.told).map(([key, known]) => [key === " " ? "Space" : key.replace("Arrow", ""), known.told]), "kbd"),
    el("h2", {}, "Searching"), rows(LANGUAGE, "code"),
    el("div", { class: "row" }, el("button", { type: "button", class: "main", onclick: () => dialog.close() }, "Close"))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
$("#help")?.addEventListener("click", showHelp);
onKey("?", "this help", showHelp);
onKey("t", "next colour theme", nextTheme);

$(".tabs [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (button) copy(button.dataset.copy);
});

/** Tell `act` what the server says is true now, and whenever that changes. One tab of a browser asks for all. */
export function onChange(act) {
  const channel = new BroadcastChannel("gitexp");
  channel.addEventListener("message", (event) => act(event.data));
  const listen = () => new Promise(() => {
    const source = new EventSource("/api/events");
    source.addEventListener("message", (event) => { const data = JSON.parse(event.data); act(data); channel.postMessage(data); });
  });
  if (navigator.locks) navigator.locks.request("gitexp-events", listen);
  else listen();
}
