/** Who leads, and how sure that is. */

import { card, emptyState } from "../components.js";
import { el, replace } from "../dom.js";

/** @typedef {import("../context.js").Context} Context */

export const title = "Board";

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  void context;
  replace(root, el("h1", { class: "view-title" }, title), card("Board", {}, emptyState("Not drawn yet", "Who leads, and how sure that is.")));
}

/** @param {Record<string, string>} query */
export function update(query) {
  void query;
}

export function unmount() {}
