/** A prompt and two answers, judged as any other battle. */

import { card, emptyState } from "../components.js";
import { el, replace } from "../dom.js";

/** @typedef {import("../context.js").Context} Context */

export const title = "Try a battle";

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  void context;
  replace(root, el("h1", { class: "view-title" }, title), card("Try a battle", {}, emptyState("Not drawn yet", "A prompt and two answers, judged as any other battle.")));
}

/** @param {Record<string, string>} query */
export function update(query) {
  void query;
}

export function unmount() {}
