/** The parts of the view of quality: each is a card that shows a report, and again the next one. */

import { reliabilityChart } from "../charts/reliability.js";
import { card, csvLink, emptyState, note } from "../components.js";
import { el, replace } from "../dom.js";
import { differenceTold, pointsTold, shareTold, valueTold } from "../estimates.js";
import { moment, number, percent, plural } from "../format.js";
import { judge, LAST, upper } from "./judgement.js";
import { numbers } from "./numbers.js";
import { whiskerTable } from "./whiskers.js";

/**
 * @typedef {import("../types.js").Estimate} Estimate
 * @typedef {import("../types.js").TrustReport} TrustReport
 * @typedef {import("../types.js").TrustWindow} TrustWindow
 * @typedef {{node: HTMLElement, show: (report: TrustReport, window: TrustWindow) => void}} Part
 */

const TONES = { good: "✓", doubtful: "?", bad: "!", unknown: "…" };

/** Commands by which votes come about. */
const HOW_TO_VOTE = [
  "# votes.jsonl: a JSON object a line; a winner is model_a, model_b or tie",
  "# {\"id\": BATTLE, \"winner\": \"model_a\"}",
  "kafka-console-producer.sh --bootstrap-server BROKER --topic votes < votes.jsonl",
];

/** The answer in words. @returns {Part} */
export function judgement() {
  const node = el("section", { class: "card judgement", "aria-label": "The answer" });
  return {
    node,
    show: (report, window) => {
      const { tone, title, reasons } = judge(window);
      node.dataset.tone = tone;
      replace(
        node,
        el("span", { class: "judgement-mark", "aria-hidden": "true" }, TONES[tone]),
        el("div", null, el("h2", null, title), reasons.map((reason) => el("p", null, reason)), el("p", { class: "judgement-small" }, counted(report, window))),
        tone === "unknown" && el("div", { class: "judgement-next" }, emptyState("What to do next", "Figures need 30 votes on battles that were judged before them. Send votes to the votes topic; each names its battle by id:", ...HOW_TO_VOTE)),
      );
    },
  };
}

/** Of how many votes it is. @param {TrustReport} report @param {TrustWindow} window */
function counted({ weighting }, { votes, quality, not_counted: not, since, until, panels }) {
  const told = [`${plural(votes, "vote")}${quality ? ` on ${plural(quality.battles, "battle")}` : ""}, ${moment(since)} to ${moment(until)}; ${weighting}`];
  if (not.forecast_not_first > 0) told.push(`${plural(not.forecast_not_first, "vote")} came before the verdict, and do not count`);
  if (not.without_weight > 0) told.push(`${plural(not.without_weight, "vote")} have no known chance of being asked for, and are left out`);
  if (panels.length > 1) told.push(`${number(panels.length)} different panels answered`);
  return `${told.join(". ")}.`;
}

/** What a person should know. @returns {Part} */
export function warnings() {
  const list = el("ul", { class: "notes" });
  const node = card("What stands out", { class: "warnings" }, list);
  return {
    node,
    show: ({ warnings: told }, { window }) => {
      // What is of the other window is for the other switch; what is of none is for both.
      const other = LAST[window === "day" ? "week" : "day"];
      const shown = told.filter((one) => !one.includes(other));
      node.hidden = shown.length === 0;
      replace(list, shown.map((one) => el("li", null, note(`${upper(one)}.`, "warning"))));
    },
  };
}

/** Log loss and accuracy: the judges against the prior, and against what they were shipped with. @returns {Part} */
export function scores() {
  const logLoss = whiskerTable("Log loss, in nats: less is better", { first: "Who", value: "nats" });
  const accuracy = whiskerTable("Accuracy: more is better", { first: "Who", value: "accuracy" });
  const words = [el("p", { class: "card-words" }), el("p", { class: "card-words" })];
  const csv = () => csvLink("trust", {}, "figures on trust");
  const node = el(
    "div",
    { class: "columns" },
    card("Log loss", { lead: "How surprised the forecasts were by the votes, in nats: less is better.", actions: [csv()] }, logLoss, words[0] ?? null),
    card("Accuracy", { lead: "How often the most probable outcome happened: more is better.", actions: [csv()] }, accuracy, words[1] ?? null),
  );
  return {
    node,
    show: ({ shipped }, { quality, against_shipped: against }) => {
      node.hidden = quality === null;
      if (quality === null) return;
      const { against_prior: prior } = quality;
      /** @param {(estimate: Estimate) => string} tell @param {Estimate} now @param {Estimate} known @param {Estimate | undefined} then */
      const rows = (tell, now, known, then) => [
        { name: "Judges", detail: "now", estimate: now, told: tell(now) },
        { name: "Class prior", detail: "knows only how votes fell out before", estimate: known, told: tell(known), kind: "muted" },
        ...(then ? [{ name: "As shipped", detail: shipped?.file, estimate: then, told: tell(then), kind: "muted" }] : []),
      ];
      logLoss.update(rows(valueTold, quality.log_loss, prior.prior_log_loss, shipped?.log_loss));
      accuracy.update(rows((one) => shareTold(one, 1), quality.accuracy, prior.prior_accuracy, shipped?.accuracy));
      const told = [
        `Judges minus prior: ${differenceTold(prior.log_loss)}${against ? `; now minus as shipped: ${differenceTold(against.log_loss)}` : ""}.`,
        `Judges minus prior: ${pointsTold(prior.accuracy)}${against ? `; now minus as shipped: ${pointsTold(against.accuracy)}` : ""}.`,
      ];
      words.forEach((place, at) => (place.textContent = told[at] ?? ""));
    },
  };
}

/** @returns {Part} */
export function reliability() {
  const chart = reliabilityChart("Bars at the foot: how many votes a bin has. Shaded: where a perfect panel's dot lies in 19 of 20 cases.");
  const table = numbers(
    "Reliability by bin",
    [
      { label: "Bin", header: true, cell: ({ low }) => `${number(100 * low)}–${percent(low + 0.1)}` },
      { label: "Said", numeric: true, cell: ({ confidence }) => percent(confidence, 1) },
      { label: "Happened", numeric: true, cell: ({ accuracy }) => shareTold(accuracy, 1) },
      { label: "Votes", numeric: true, cell: ({ battles }) => number(battles) },
    ],
    (/** @type {import("../types.js").ReliabilityBin} */ { low }) => low.toFixed(1),
  );
  const words = el("p", { class: "card-words" });
  const node = card(`When they say ${percent(0.7)}, is it ${percent(0.7)}?`, { lead: "On the dashed line probabilities are right; below it the judges are too sure.", actions: [csvLink("reliability", {}, "reliability by bin")] }, chart, words, table);
  return {
    node,
    show: ({ shipped }, { reliability: bins, quality, against_shipped: against }) => {
      node.hidden = bins.length === 0;
      if (quality) {
        words.textContent =
          `Calibration error ${shareTold(quality.calibration_error, 1)}: how far probabilities are off on average. A perfect panel shows ` +
          `${percent(quality.calibration_error_by_chance, 1)} by chance, and less than ${percent(quality.calibration_error_by_chance_95, 1)} in 19 of 20 cases.` +
          (shipped && against ? ` As shipped ${shareTold(shipped.calibration_error, 1)}; now minus then ${pointsTold(against.calibration_error)}.` : "");
      }
      chart.update(bins);
      table.update(bins);
    },
  };
}
