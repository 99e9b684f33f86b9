/** What the stream does: how many battles, how quickly, what waits, and what could not be scored. */

import { emptyState, failure, skeleton } from "../components.js";
import { el, replace } from "../dom.js";
import { refreshed } from "../refreshed.js";
import { counters } from "../stream/counters.js";
import { shadow } from "../stream/shadow.js";
import { deadLetters, lag, latency, summary, throughput } from "../stream/parts.js";

/**
 * @typedef {import("../context.js").Context} Context
 * @typedef {import("../types.js").BoardStatus} BoardStatus
 * @typedef {import("../types.js").StreamReport} StreamReport
 */

export const title = "Stream";

/** The lag is looked at so often; nothing tells of a change of it. */
const EVERY_MS = 5000;

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  const { api, events, signal } = context;
  const parts = { summary: summary(), throughput: throughput(), latency: latency(), lag: lag(), deadLetters: deadLetters(), shadow: shadow() };
  const counted = counters();
  const nothing = emptyState(
    "No battle has been judged yet",
    "Throughput and latency are drawn from the first preference on. Start the stream, and send it a battle:",
    "prefstream run --panel panel.yaml",
  );
  const charts = el("div", { class: "columns" }, parts.throughput.node, parts.latency.node);
  const body = el(
    "div",
    { class: "view-parts", hidden: true },
    parts.summary.node,
    charts,
    nothing,
    el("div", { class: "columns" }, parts.lag.node, parts.deadLetters.node),
    parts.shadow.node,
    counted.node,
  );
  const state = el("div", null, skeleton(8));
  replace(
    root,
    el("header", { class: "view-head" }, el("div", null, el("h1", { class: "view-title" }, title), el("p", { class: "view-lead" }, "How many battles are judged, how quickly, what waits, and what could not be scored."))),
    state,
    body,
  );
  /** @param {BoardStatus | null} status */
  const tell = (status) => void (status && counted.show(status));
  refreshed(context, {
    everyMs: EVERY_MS,
    ask: () => api.get("stream", {}, { signal }),
    show: (/** @type {StreamReport} */ report) => {
      replace(state);
      body.hidden = false;
      const ever = report.per_s !== null || report.minutes.some(({ battles }) => battles > 0);
      charts.hidden = !ever;
      nothing.hidden = ever;
      for (const part of Object.values(parts)) part.show(report);
      tell(context.status());
    },
    fail: (error) => void replace(state, failure(error)),
  });
  events.on("status", tell, { signal });
  tell(context.status());
}

/** @param {Record<string, string>} query */
export function update(query) {
  void query; // nothing to choose
}

export function unmount() {}
