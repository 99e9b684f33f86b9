/** Log loss over time, with the prior's. */

import { url } from "../api.js";
import { lineChart } from "../charts/lines.js";
import { card, csvLink, emptyState } from "../components.js";
import { el } from "../dom.js";
import { shareTold, valueTold } from "../estimates.js";
import { moment, number, shortClock, utcDay } from "../format.js";
import { numbers } from "./numbers.js";

/**
 * @typedef {import("../types.js").TrustTime} TrustTime
 * @typedef {import("../types.js").TrustSlice} TrustSlice
 */

/** Length of a slice. @type {Record<TrustTime["step"], number>} */
const STEP_MS = { hour: 3_600_000, day: 86_400_000 };

/**
 * The card; `show` takes the API's answer.
 *
 * @returns {{node: HTMLElement, show: (time: TrustTime) => void}}
 */
export function overTime() {
  const chart = lineChart({ caption: "", series: [] });
  const table = numbers(
    "Log loss over time",
    [
      { label: "From", header: true, cell: ({ start }) => moment(start) },
      { label: "Log loss", numeric: true, cell: ({ log_loss: found }) => valueTold(found) },
      { label: "Prior's", numeric: true, cell: ({ prior_log_loss: found }) => valueTold(found) },
      { label: "Accuracy", numeric: true, cell: ({ accuracy }) => shareTold(accuracy) },
      { label: "Votes", numeric: true, cell: ({ votes }) => number(votes) },
    ],
    (/** @type {TrustSlice} */ { start }) => start,
  );
  const legend = el("p", { class: "legend" }, el("span", { class: "legend-item", "data-kind": "judges" }, "judges"), el("span", { class: "legend-item", "data-kind": "muted" }, "class prior"));
  const nothing = emptyState("Not enough votes yet", "An hour or a day is drawn once it has 30 votes.");
  const csv = csvLink("trust-time", {}, "log loss over time");
  const node = card("Log loss over time", { lead: "With its band; below the dashed line of the prior they know more than nothing.", actions: [csv] }, legend, chart, table, nothing);
  return {
    node,
    show: ({ step, slices }) => {
      csv.href = url("tables/trust-time.csv", { step });
      const drawn = slices.filter(({ log_loss: found }) => found.value !== null);
      for (const part of [legend, chart, table]) part.hidden = drawn.length === 0;
      nothing.hidden = drawn.length > 0;
      table.update(slices);
      if (drawn.length === 0) return;
      chart.update({
        caption: `By ${step}, ${drawn.length} of ${slices.length} with enough votes.`,
        xText: step === "hour" ? shortClock : utcDay,
        yText: (value) => number(value, 2),
        yTitle: "nats",
        least: 0.05, // so that ticks stand no nearer than their two places tell
        series: [
          { name: "class prior", kind: "muted", points: points(drawn, step, (slice) => slice.prior_log_loss, false) },
          { name: "judges", kind: "judges", points: points(drawn, step, (slice) => slice.log_loss, true) },
        ],
      });
    },
  };
}

/**
 * Points of a line; where slices are missing there is a gap.
 *
 * @param {readonly TrustSlice[]} slices
 * @param {TrustTime["step"]} step
 * @param {(slice: TrustSlice) => import("../types.js").Estimate} of
 * @param {boolean} banded
 */
function points(slices, step, of, banded) {
  /** @type {import("../charts/lines.js").Point[]} */
  const found = [];
  let last = NaN;
  for (const slice of slices) {
    const at = Date.parse(slice.start);
    const { value, low, high } = of(slice);
    if (at - last > 1.5 * STEP_MS[step]) found.push({ x: (at + last) / 2, y: null });
    found.push({ x: at, y: value, low: banded ? low : null, high: banded ? high : null, title: `${moment(slice.start)}: ${valueTold(of(slice))}` });
    last = at;
  }
  return found;
}
