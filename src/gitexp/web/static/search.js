// The box for search expressions: completion while one types, and mistakes shown at their place.

import { $, el, fail, getJSON } from "./page.js";

export class SearchBox {
  /** @param {HTMLInputElement} input; `search(text)` is called when somebody has finished. */
  constructor(input, search) {
    this.input = input;
    this.search = search;
    this.list = el("ul", { class: "completions", role: "listbox", id: "completions", "aria-label": "Completions", hidden: true });
    input.parentElement.append(this.list);
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": "completions", "aria-expanded": "false" })) input.setAttribute(name, value);
    input.addEventListener("input", () => this.#typed());
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("blur", () => setTimeout(() => this.hide(), 120));
    input.addEventListener("focus", () => { if (!input.value) this.#suggest(); });
    this.list.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      const chosen = event.target.closest("li");
      if (chosen) this.#take([...this.list.children].indexOf(chosen));
    });
  }

  #typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.search(this.input.value, true), 220);
    clearTimeout(this.suggesting);
    this.suggesting = setTimeout(() => this.#suggest(), 50);
  }

  async #suggest() {
    this.asked?.abort();
    this.asked = new AbortController();
    const { value, selectionStart } = this.input;
    try {
      const query = new URLSearchParams({ text: value, cursor: [...value.slice(0, selectionStart)].length });
      const found = await getJSON(`/api/complete?${query}`, this.asked.signal);
      if (document.activeElement !== this.input) return;
      this.found = found;
      const typed = [...value].slice(found.start, found.end).join("");
      const isDone = found.options.length === 1 && found.options[0].text === typed;
      this.list.replaceChildren(...(isDone ? [] : found.options).map((option, at) => el("li", { role: "option", id: `option-${at}`, "aria-selected": "false" }, option.text, el("small", {}, option.kind))));
      this.at = -1;
      this.list.hidden = !this.list.children.length;
      this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    } catch (error) { if (error.name !== "AbortError") fail(error); }
  }

  hide() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    const count = this.list.hidden ? 0 : this.list.children.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      clearTimeout(this.suggesting);
      this.asked?.abort();
      if (!count) { this.#suggest(); return; }
      this.#point((this.at + (event.key === "ArrowDown" ? 1 : count)) % count === this.at ? 0 : (this.at + (event.key === "ArrowDown" ? 1 : count - 1) + count) % count);
    } else if (event.key === "Tab" && count) { event.preventDefault(); this.#take(Math.max(this.at, 0)); }
    else if (event.key === "Enter") {
      event.preventDefault();
      if (count && this.at >= 0) this.#take(this.at);
      else { clearTimeout(this.timer); this.hide(); this.search(this.input.value, false); }
    } else if (event.key === "Escape") {
      if (count) { event.stopPropagation(); this.hide(); }
      else this.input.blur();
    }
  }
  #point(at) {
    this.at = at;
    [...this.list.children].forEach((option, place) => option.setAttribute("aria-selected", String(place === at)));
    this.list.children[at]?.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", `option-${at}`);
  }
  #take(at) {
    const option = this.found?.options[at];
    if (!option) return;
    const letters = [...this.input.value];
    const before = letters.slice(0, this.found.start).join("") + option.text + " ";
    this.input.value = before + letters.slice(this.found.end).join("").trimStart();
    this.input.setSelectionRange(before.length, before.length);
    this.hide();
    this.#typed();
  }
}

/** Say what is wrong with an expression below its box; `trouble` null: nothing. */
export function showTrouble(trouble) {
  const place = $("#trouble"), input = $("#where");
  input.parentElement.classList.toggle("wrong", !!trouble);
  if (trouble) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
  if (!trouble) { place.replaceChildren(); return; }
  const letters = [...(trouble.text ?? "")], at = trouble.position ?? letters.length;
  const end = at + Math.max(1, letters.slice(at).join("").search(/[\s()=<>!,]|$/));
  place.replaceChildren(`${trouble.error} ${trouble.hint ?? ""}`,
    el("code", {}, letters.slice(Math.max(0, at - 60), at).join(""), el("mark", {}, letters.slice(at, end).join("") || " "), letters.slice(end, end + 60).join("")));
}
