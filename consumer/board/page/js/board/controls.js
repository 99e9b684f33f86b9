/** Switches of the board: what strengths come from, and of which battles. */

import { segmented, toggle } from "../components.js";
import { el, replace } from "../dom.js";

/**
 * @typedef {import("../context.js").ViewQuery} ViewQuery
 * @typedef {(change: Record<string, string | undefined>, options?: {replace?: boolean}) => void} Go
 */

/** @type {readonly (readonly ["votes" | "judges" | "both", string])[]} */
const METHODS = [["votes", "Votes"], ["judges", "Judges"], ["both", "Both"]];
/** @type {readonly (readonly ["all" | "week" | "day", string])[]} */
const WINDOWS = [["all", "All time"], ["week", "Week"], ["day", "Day"]];

export class Controls {
  /** @type {readonly string[]} */
  #languages = [];
  #language = "";

  /** @param {Go} go */
  constructor(go) {
    this.method = segmented("Strengths from", METHODS, (value) => go({ method: value === "both" ? undefined : value }));
    this.window = segmented("Battles of", WINDOWS, (value) => go({ window: value === "all" ? undefined : value }));
    this.style = toggle("Style control", (on) => go({ style: on ? "1" : undefined }));
    this.language = el("select", {
      class: "input", id: "language", on: { change: () => go({ language: this.language.value || undefined }) },
    });
    this.find = el("input", {
      class: "input", id: "find", type: "search", placeholder: "Name of a model", autocomplete: "off", spellcheck: "false",
      on: { input: () => go({ find: this.find.value.trim() || undefined }, { replace: true }) },
    });
    this.node = el(
      "div",
      { class: "controls board-controls", role: "group", "aria-label": "What is shown" },
      el("div", { class: "control-pair" }, this.method.node, this.style.node),
      el(
        "div",
        { class: "control-pair" },
        this.window.node,
        el("div", { class: "control" }, el("label", { for: "language" }, "Language"), this.language),
      ),
      el("div", { class: "control board-find" }, el("label", { for: "find" }, "Filter"), this.find),
    );
    this.#showLanguages();
  }

  /** @param {ViewQuery} query */
  show(query) {
    const { method, window } = boardQuery(query);
    this.method.set(method);
    this.window.set(window);
    this.style.set(query.style === "1");
    this.#language = query.language ?? "";
    this.#showLanguages();
    if (document.activeElement !== this.find) this.find.value = query.find ?? "";
  }

  /** @param {readonly string[]} languages */
  showLanguages(languages) {
    this.#languages = languages;
    this.#showLanguages();
  }

  #showLanguages() {
    const there = this.#language && !this.#languages.includes(this.#language) ? [this.#language] : [];
    const names = [...this.#languages, ...there];
    const shown = [...this.language.options].slice(1).map((option) => option.value);
    if (this.language.options.length === 0 || shown.join("\n") !== names.join("\n")) {
      replace(
        this.language,
        el("option", { value: "" }, "All"),
        names.map((name) => el("option", { value: name }, name)),
      );
    }
    this.language.value = this.#language;
  }
}

/**
 * The address's query as the API takes it; what nobody knows is as if it were not there.
 *
 * @param {ViewQuery} query
 * @returns {{method: "votes" | "judges" | "both", style_control: boolean, language: string | undefined, window: "all" | "week" | "day"}}
 */
export function boardQuery({ method, style, language, window }) {
  const known = METHODS.find(([name]) => name === method);
  const span = WINDOWS.find(([name]) => name === window);
  return {
    method: known ? known[0] : "both",
    style_control: style === "1",
    language: language?.slice(0, 100) || undefined,
    window: span ? span[0] : "all",
  };
}
