/** A shadow's answers beside those that are served: how often the verdict differs, and from which to which. */

import { card, DataTable, emptyState, figure, figures, note, settle } from "../components.js";
import { el } from "../dom.js";
import { number, percent, plural, signed } from "../format.js";
import { spot } from "../verdicts/feed.js";

/**
 * @typedef {import("../types.js").Change} Change
 * @typedef {import("../types.js").Probabilities} Probabilities
 * @typedef {import("../types.js").ShadowBattle} ShadowBattle
 * @typedef {import("../types.js").StreamReport} StreamReport
 * @typedef {{verdict: string, counts: readonly unknown[]}} Row
 */

const OUTCOMES = ["A", "B", "tie"];

/** @param {Probabilities} said */
const triple = (said) => [said.model_a, said.model_b, said.tie].map((one) => number(one, 2)).join(" / ");

/** @returns {{node: HTMLElement, show: (report: StreamReport) => void}} */
export function shadow() {
  /** @type {DataTable<Row>} */
  const verdicts = new DataTable({
    caption: "Battles by the served verdict and the shadow's",
    key: ({ verdict }) => verdict,
    columns: [
      { label: "Served", header: true, cell: ({ verdict }) => verdict },
      ...OUTCOMES.map((outcome, place) => ({
        label: `Shadow: ${outcome}`,
        numeric: true,
        cell: (/** @type {Row} */ { counts }) => number(Number(counts[place])),
      })),
    ],
  });
  /** @type {DataTable<ShadowBattle>} */
  const battles = new DataTable({
    caption: "Battles that the shadow answers most differently",
    key: ({ source }) => spot(source),
    columns: [
      { label: "Battle", header: true, cell: ({ id, source }) => [el("code", null, id), el("span", { class: "row-detail" }, spot(source))] },
      { label: "Served, A / B / tie", numeric: true, cell: ({ served }) => triple(served) },
      { label: "Shadow", numeric: true, cell: (one) => triple(one.shadow) },
    ],
  });
  const told = el("div");
  const lead = el("span");
  const place = el("div");
  const node = card("Shadow", { lead }, place);
  node.hidden = true;
  const parts = el("div", { class: "shadow-parts" }, told, verdicts.node, battles.node);
  return {
    node,
    show: ({ shadow: report, why_no_shadow: why }) => {
      node.hidden = !report && why === null;
      if (!report) {
        lead.textContent = "";
        settle(place, `why ${why}`, () => note(`The shadow is not looked at: ${why}`, "warning"));
        return;
      }
      const waiting = report.waiting ? `; ${number(report.waiting)} more wait for an answer of who serves` : "";
      lead.textContent = `Its newest answers on ${report.topic}, the shadow's minus those that are served: ${plural(report.compared, "battle")}${waiting}.`;
      if (!report.change) {
        settle(place, "nothing", () => emptyState("Nothing to compare yet", "No battle is answered by both.", "prefstream run --shadow --panel new.yaml"));
        return;
      }
      settle(told, JSON.stringify(report.change), () => summary(/** @type {Change} */ (report.change)));
      verdicts.show(
        report.change.verdicts.map((counts, row) => ({ verdict: OUTCOMES[row] ?? "", counts: /** @type {readonly unknown[]} */ (counts) })),
      );
      battles.show(report.most_changed);
      battles.node.hidden = report.most_changed.length === 0;
      settle(place, "parts", () => parts);
    },
  };
}

/** @param {Change} change */
function summary(change) {
  const share = (/** @type {number | null} */ one) => percent(one, 1);
  const shift = (/** @type {number | null} */ one) => signed(one, 3);
  return figures(
    measured("Changed verdicts", change.changed, share),
    measured("A wins, mean shift", change.shift.model_a, shift),
    measured("B wins, mean shift", change.shift.model_b, shift),
    measured("Tie, mean shift", change.shift.tie, shift),
    measured("Divergence, bits", change.divergence, (one) => number(one, 4)),
  );
}

/**
 * @param {string} label
 * @param {import("../types.js").Estimate} found
 * @param {(one: number | null) => string} tell
 */
const measured = (label, found, tell) =>
  figure(label, tell(found.value), found.low === null || found.high === null ? null : `${tell(found.low)} to ${tell(found.high)}`);
