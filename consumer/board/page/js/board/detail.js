/** What stands in an open row: the model's opponents, and its rating over time. */

import { failure, segmented, skeleton } from "../components.js";
import { lineChart } from "../charts/lines.js";
import { el, KeyedRows, replace, setText } from "../dom.js";
import { interval, number, percent, plural, shortClock, utcDay } from "../format.js";

/**
 * @typedef {import("../types.js").WinRates} WinRates
 * @typedef {import("../types.js").TimeSlices} TimeSlices
 * @typedef {{model: string, expected: number | null, observed: number | null, meetings: number}} Opponent
 * @typedef {"hour" | "day"} Step
 */

/** Opponents that are listed; the CSV has all. */
const MOST = 60;

export class Detail {
  /** @type {ReturnType<typeof lineChart> | null} */
  #chart = null;

  /** @param {string} model @param {(step: Step) => void} onStep */
  constructor(model, onStep) {
    this.model = model;
    this.opponents = el("div", { class: "opponents", tabindex: 0, role: "region", "aria-label": `Opponents of ${model}` }, skeleton(4));
    this.time = el("div", null, skeleton(4));
    this.step = segmented("Rating by", [["hour", "Hour"], ["day", "Day"]], onStep);
    this.step.node.classList.add("bare");
    this.node = el(
      "div",
      { class: "board-detail-inside" },
      el("section", null, el("h3", null, "Against each opponent"), el("p", { class: "card-lead" }, "Filled: what was seen, a tie as half a win. Mark: what the ratings expect."), this.opponents),
      el("section", null, el("div", { class: "detail-head" }, el("h3", null, "Rating over time"), this.step.node), this.time),
    );
    /** @type {KeyedRows<Opponent, HTMLElement> | null} */
    this.rows = null;
  }

  /** @param {WinRates} rates */
  showPairs(rates) {
    const at = rates.models.indexOf(this.model);
    const all = rates.models
      .map((model, other) => ({
        model,
        expected: rates.expected[at]?.[other] ?? null,
        observed: rates.observed[at]?.[other] ?? null,
        meetings: rates.meetings[at]?.[other] ?? 0,
      }))
      .filter((one, other) => other !== at && (one.meetings > 0 || one.expected !== null));
    const met = all.filter((one) => one.meetings > 0);
    const shown = (met.length > 0 ? met : all).slice(0, MOST);
    if (!this.rows) {
      const list = el("ul", { class: "opponent-list" });
      this.rows = new KeyedRows(list, { key: (one) => one.model, create, update });
      replace(this.opponents, list);
    }
    this.rows.show(shown);
  }

  /** @param {TimeSlices} slices */
  showTime(slices) {
    this.step.set(slices.step);
    const points = slices.slices.map(({ start, strengths }) => {
      const line = strengths.models.find((one) => one.model === this.model);
      const told = line ? interval(line.rating, line.lower, line.upper) : "no battles";
      return {
        x: new Date(start).getTime(),
        y: line?.rating ?? null,
        low: line?.lower ?? null,
        high: line?.upper ?? null,
        title: `${when(start, slices.step)}: ${told}`,
      };
    });
    const rated = points.filter((point) => point.y !== null);
    if (rated.length < 2) {
      this.#chart = null;
      const what = slices.step === "day" ? "a second day" : "a second hour";
      replace(this.time, el("p", { class: "quiet" }, `A line needs ${what} with a rating; by the hour there may be more.`));
      return;
    }
    const [first, last] = [rated[0], rated.at(-1)];
    const caption = `${this.model}, ${plural(rated.length, slices.step)}: ${number(first?.y)} at first, ${interval(last?.y, last?.low, last?.high)} in the last; each ${slices.step} by its own battles.`;
    const told = {
      caption,
      series: [{ name: this.model, points }],
      xText: (/** @type {number} */ at) => when(at, slices.step),
      yText: (/** @type {number} */ value) => number(value),
      height: 190,
      least: 100,
    };
    if (this.#chart) this.#chart.update(told);
    else replace(this.time, (this.#chart = lineChart(told)));
  }

  /** @param {unknown} error */
  showFault(error) {
    this.#chart = null;
    replace(this.time, failure(error));
  }
}

/** @param {string | number} at @param {Step} step */
const when = (at, step) => (step === "day" ? utcDay(at) : shortClock(at));

/** @param {Opponent} one @returns {HTMLElement} */
function create({ model }) {
  return el(
    "li",
    null,
    el("span", { class: "opponent-name", title: model }, model),
    el("span", { class: "opponent-bar", "aria-hidden": "true" }, el("span", { class: "opponent-fill" }), el("span", { class: "opponent-mark" })),
    el("span", { class: "opponent-text" }),
  );
}

/** @param {HTMLElement} row @param {Opponent} one */
function update(row, { expected, observed, meetings }) {
  const [, bar, text] = row.children;
  if (!(bar instanceof HTMLElement) || !text) return;
  bar.style.setProperty("--observed", `${100 * (observed ?? 0)}%`);
  bar.style.setProperty("--expected", `${100 * (expected ?? 0)}%`);
  bar.dataset.known = `${observed === null ? "" : "observed"} ${expected === null ? "" : "expected"}`.trim();
  setText(text, `${percent(observed)} of ${number(meetings)}, expected ${percent(expected)}`);
}
