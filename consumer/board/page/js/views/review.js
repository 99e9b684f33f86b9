/** Battles that a person should look at. */

import { card, emptyState } from "../components.js";
import { el, replace } from "../dom.js";

/** @typedef {import("../context.js").Context} Context */

export const title = "Review";

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  void context;
  replace(root, el("h1", { class: "view-title" }, title), card("Review", {}, emptyState("Not drawn yet", "Battles that a person should look at.")));
}

/** @param {Record<string, string>} query */
export function update(query) {
  void query;
}

export function unmount() {}
