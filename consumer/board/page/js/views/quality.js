/** Whether the judges can be trusted now, by votes that came after what they said. */

import { failure, segmented, skeleton } from "../components.js";
import { el, replace } from "../dom.js";
import { moment } from "../format.js";
import { answers, drift, habits, lengthSlope, selection, slices } from "../quality/habits.js";
import { overTime } from "../quality/over-time.js";
import { judgement, reliability, scores, warnings } from "../quality/parts.js";
import { refreshed } from "../refreshed.js";

/**
 * @typedef {import("../context.js").Context} Context
 * @typedef {import("../types.js").TrustReport} TrustReport
 * @typedef {import("../types.js").TrustTime} TrustTime
 * @typedef {import("../types.js").TrustWindow["window"]} WindowName
 */

export const title = "Quality";

/** Slices of time that go with a window. @type {Record<WindowName, TrustTime["step"]>} */
const STEPS = { day: "hour", week: "day" };

/** @type {{choose: (window: string | undefined) => void} | null} */
let shown = null;

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  const { api, go, query, signal } = context;
  const choice = segmented("Votes of", /** @type {const} */ ([["day", "Last day"], ["week", "Last week"]]), (window) => go({ window }, { replace: true }));
  const asOf = el("p", { class: "view-lead" }, "Whether the judges can be trusted now, by people's votes that came after the verdict.");
  const time = overTime();
  const [above, below] = [[judgement(), warnings(), scores()], [answers(), drift(), selection()]];
  const [reliable, slope, habit, slice] = [reliability(), lengthSlope(), habits(), slices()];
  const parts = [...above, reliable, slope, habit, slice, ...below];
  const body = el(
    "div",
    { class: "view-parts", hidden: true },
    above.map(({ node }) => node),
    el(
      "div",
      { class: "columns" },
      el("div", { class: "stack" }, reliable.node, slope.node),
      el("div", { class: "stack" }, time.node, habit.node, slice.node),
    ),
    below.map(({ node }) => node),
  );
  const state = el("div", null, skeleton(8));
  const head = el("header", { class: "view-head" }, el("div", null, el("h1", { class: "view-title" }, title), asOf), choice.node);
  replace(root, head, state, body);

  /** @type {TrustReport | null} */
  let report = null;
  /** @type {TrustTime | null} */
  let times = null;
  /** @type {string | undefined} */
  let chosen = query.window;
  /** What was drawn last: nothing is drawn again while numbers stay. */
  let drawn = "";

  /** The window that is shown: the one asked for, else the last day, where it has figures. @param {TrustReport} told */
  const windowOf = (told) => {
    const named = told.windows.find(({ window }) => window === chosen);
    return named ?? told.windows.find(({ quality }) => quality !== null) ?? told.windows.at(-1);
  };
  const draw = () => {
    const window = report && windowOf(report);
    if (!report || !window) return;
    const now = JSON.stringify([window.window, report, times]);
    if (now === drawn) return;
    drawn = now;
    choice.set(window.window);
    asOf.textContent = `Whether the judges can be trusted now, by people's votes that came after the verdict. As of ${moment(report.at)}.`;
    body.hidden = false;
    for (const part of parts) part.show(report, window);
    time.node.hidden = window.quality === null;
    if (times) time.show(times);
  };
  const ask = refreshed(context, {
    ask: async () => {
      report = await api.get("trust", {}, { signal });
      const window = report && windowOf(report);
      times = await api.get("trust/time", { step: STEPS[window?.window ?? "day"] }, { signal });
    },
    show: () => {
      replace(state);
      draw();
    },
    fail: (error) => void replace(state, failure(error)),
  });
  shown = {
    choose: (window) => {
      if (window === chosen) return;
      chosen = window;
      draw();
      ask();
    },
  };
}

/** @param {Record<string, string>} query */
export function update(query) {
  shown?.choose(query.window);
}

export function unmount() {
  shown = null;
}
