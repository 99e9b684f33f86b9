/** Throughput, latency, lag, and dead letters by reason. */

import { card, emptyState } from "../components.js";
import { el, replace } from "../dom.js";

/** @typedef {import("../context.js").Context} Context */

export const title = "Stream";

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  void context;
  replace(root, el("h1", { class: "view-title" }, title), card("Stream", {}, emptyState("Not drawn yet", "Throughput, latency, lag, and dead letters by reason.")));
}

/** @param {Record<string, string>} query */
export function update(query) {
  void query;
}

export function unmount() {}
