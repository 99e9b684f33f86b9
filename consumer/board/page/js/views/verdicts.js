/** Battles as they are judged, and each judge's opinion. */

import { card, emptyState } from "../components.js";
import { el, replace } from "../dom.js";

/** @typedef {import("../context.js").Context} Context */

export const title = "Verdicts";

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  void context;
  replace(root, el("h1", { class: "view-title" }, title), card("Verdicts", {}, emptyState("Not drawn yet", "Battles as they are judged, and each judge's opinion.")));
}

/** @param {Record<string, string>} query */
export function update(query) {
  void query;
}

export function unmount() {}
