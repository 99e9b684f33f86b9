/** What judges tend to beside people, where they are good, and how battles differ: cards of the view of quality. */

import { slopeChart } from "../charts/slopes.js";
import { card, csvLink, emptyState, figure, figures } from "../components.js";
import { el } from "../dom.js";
import { differenceTold, isAbove, isBelow, pointsTold, shareTold } from "../estimates.js";
import { moment, number, percent, plural } from "../format.js";
import { comparable, contrastTable } from "./contrasts.js";
import { numbers } from "./numbers.js";
import { whiskerTable } from "./whiskers.js";

/**
 * @typedef {import("../types.js").Estimate} Estimate
 * @typedef {import("../types.js").LengthBin} LengthBin
 * @typedef {import("../types.js").QualityOf} QualityOf
 * @typedef {import("./parts.js").Part} Part
 */

/** @returns {Part} */
export function lengthSlope() {
  const chart = slopeChart("Dots: people, with their interval; squares: judges. Curves: the slope of each, with its band.");
  const words = el("p", { class: "card-words" });
  const table = numbers(
    "How often the longer answer wins, by how much longer it is",
    [
      { label: "Times as long", header: true, cell: (bin) => ratio(bin) },
      { label: "People", numeric: true, cell: ({ people }) => shareTold(people) },
      { label: "Judges", numeric: true, cell: ({ judges }) => percent(judges) },
      { label: "Votes", numeric: true, cell: ({ votes }) => number(votes) },
    ],
    (/** @type {LengthBin} */ { low }) => String(low),
  );
  const nothing = emptyState("Not enough votes", "The slope needs 30 votes with a winner on answers whose lengths are known.");
  const legend = el("p", { class: "legend" }, el("span", { class: "legend-item", "data-kind": "people" }, "people"), el("span", { class: "legend-item", "data-kind": "judges" }, "judges"));
  const node = card("Do they like length more than people do?", { lead: "Log-odds that each doubling of an answer's length is worth.", actions: [csvLink("length", {}, "the longer answer's share by ratio of lengths")] }, legend, words, chart, table, nothing);
  return {
    node,
    show: (_, { length, quality }) => {
      node.hidden = quality === null;
      for (const part of [legend, words, chart, table]) part.hidden = length === null;
      nothing.hidden = length !== null;
      if (length === null) return;
      chart.update(length);
      table.update(length.bins);
      const answer = isAbove(length.excess) ? "Yes" : isBelow(length.excess) ? "No, less" : "Not shown";
      words.textContent =
        `${answer}: people ${differenceTold(length.people, 2)}, judges ${differenceTold(length.judges, 2)}; ` +
        `judges minus people ${differenceTold(length.excess, 2)}, by ${plural(length.votes, "vote")}.`;
    },
  };
}

/** @param {LengthBin} bin */
function ratio({ low, high }) {
  const from = number(2 ** low, 1);
  return high === null ? `${from} and more` : `${from} to ${number(2 ** high, 1)}`;
}

/** Ties, and the longer answer, as people and as judges have them. @returns {Part} */
export function habits() {
  const ties = whiskerTable("How often it is a tie", { first: "Ties", value: "share", least: 0.1 });
  const longer = whiskerTable("How often the longer answer wins", { first: "The longer answer wins", value: "share", least: 0.1 });
  const words = [el("p", { class: "card-words" }), el("p", { class: "card-words" })];
  const node = card("Do they judge as people do?", { lead: "The same battles, as people and as judges have them.", actions: [csvLink("trust", {}, "figures on trust")] }, ties, words[0] ?? null, longer, words[1] ?? null);
  return {
    node,
    show: (_, { ties: tied, longer_wins: wins }) => {
      node.hidden = tied === null;
      if (tied === null) return;
      ties.update(both(tied));
      if (words[0]) words[0].textContent = `Judges minus people: ${pointsTold(tied.excess)}.`;
      longer.hidden = wins === null;
      if (wins !== null) longer.update(both(wins));
      if (words[1]) words[1].textContent = wins ? `Judges minus people: ${pointsTold(wins.excess)}, by ${plural(wins.votes, "vote")} with a winner.` : "";
    },
  };
}

/** @param {{people: Estimate, judges: Estimate}} told */
const both = ({ people, judges }) => [
  { name: "People", estimate: people, told: shareTold(people, 1), kind: "people" },
  { name: "Judges", estimate: judges, told: shareTold(judges, 1) },
];

/** By language, and by whether a vote was asked for. @returns {Part} */
export function slices() {
  const languages = whiskerTable("Log loss against the prior, by language", { first: "Language", value: "minus the prior's, nats", include: [0] });
  const review = whiskerTable("Log loss against the prior, by whether the vote was asked for", { first: "The vote was", value: "minus the prior's, nats", include: [0] });
  const node = card("Where are they good?", { lead: "Log loss minus the prior's on the same votes: left of the line they know more than nothing.", actions: [csvLink("trust-slices", {}, "figures by language")] }, languages, review);
  return {
    node,
    show: (_, { languages: by, by_review: asked }) => {
      node.hidden = by.length === 0 && asked.length === 0;
      languages.hidden = by.length === 0;
      review.hidden = asked.length === 0;
      languages.update(by.map(sliceRow));
      review.update(asked.map(sliceRow));
    },
  };
}

/** @param {QualityOf} slice */
const sliceRow = ({ value, quality }) => ({
  name: value,
  detail: `${plural(quality.votes, "vote")}, accuracy ${shareTold(quality.accuracy)}`,
  estimate: quality.against_prior.log_loss,
  told: differenceTold(quality.against_prior.log_loss),
});

/** What the judges say of all battles, voted on or not. @returns {Part} */
export function answers() {
  const place = el("div");
  const node = card("All battles, voted on or not", { actions: [csvLink("trust", {}, "figures on trust")] }, place);
  return {
    node,
    show: (report, { window }) => {
      const told = report.answers.find((one) => one.window === window);
      node.hidden = !told || told.battles === 0;
      if (!told || told.battles === 0) return;
      const shown = [
        figure("Battles", number(told.battles), "of this window"),
        figure("Judges differ widely", percent(told.disagree, 1), `${number(told.disagreement, 3)} bits in the mean`),
        figure("The order decides", percent(told.flipped, 1), told.position_gap === null ? "nobody read both orders" : `both orders lie ${number(told.position_gap, 3)} apart`),
        figure("Entropy", number(told.entropy, 2), "bits in the mean, of 1.58"),
        figure("Not read in full", percent(told.truncated, 1), "by some judge"),
      ];
      place.replaceChildren(figures(...shown));
    },
  };
}

/** Whether battles and answers are others than before. @returns {Part} */
export function drift() {
  const inputs = contrastTable("Battles now and before", { one: "now", other: "before" });
  const said = contrastTable("Answers now and before", { one: "now", other: "before" });
  const words = el("span");
  const tables = el("div", { class: "columns" }, el("div", null, el("h3", null, "Battles"), inputs), el("div", null, el("h3", null, "Answers"), said));
  const node = card("Is the stream another than before?", { lead: words, actions: [csvLink("trust", {}, "figures on trust")] }, tables);
  return {
    node,
    show: (report, { window }) => {
      const told = report.drift.find((one) => one.window === window);
      const battles = told?.inputs[0]?.battles ?? 0;
      node.hidden = !told || battles === 0;
      if (!told) return;
      tables.hidden = !comparable([...told.inputs, ...told.answers]);
      words.textContent = tables.hidden
        ? `Too little came before to compare: ${plural(battles, "battle")} since ${moment(told.since)}, and ${number(told.inputs[0]?.other_battles)} in the four weeks before.`
        : `Since ${moment(told.since)}, against the four weeks before. The mark is what chance stays below in 99 of 100 cases.`;
      inputs.update(told.inputs);
      said.update(told.answers);
    },
  };
}

/** Who gets a vote. @returns {Part} */
export function selection() {
  const table = contrastTable("Battles with a vote and without", { one: "voted", other: "others" });
  const words = el("span");
  const node = card("Do people vote on battles like the others?", { lead: words, actions: [csvLink("trust", {}, "figures on trust")] }, table);
  return {
    node,
    show: ({ selection: { voted, others, contrasts } }) => {
      node.hidden = voted + others === 0;
      table.hidden = !comparable(contrasts);
      words.textContent = table.hidden
        ? `Too few to compare: ${plural(voted, "battle")} with a vote, ${number(others)} without, of the last four weeks.`
        : `${plural(voted, "battle")} with a vote against ${number(others)} without, of the last four weeks. Where they differ, strengths from votes and judges together may lean.`;
      table.update(contrasts);
    },
  };
}
