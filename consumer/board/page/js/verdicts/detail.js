/** What a verdict opens: each judge's opinion in both orders, where it came from, how long it took, how the answers look. */

import { describe, outcomeBar } from "../charts/outcome-bar.js";
import { classes, tag } from "../components.js";
import { el } from "../dom.js";
import { duration, list, moment, NOTHING, number, percent, signed } from "../format.js";
import { textsOf } from "../texts.js";
import { spot } from "./feed.js";

/** @typedef {import("../types.js").Verdict} Verdict */
/** @typedef {import("../types.js").Probabilities} Probabilities */
/** @typedef {import("../types.js").StyleCounts} StyleCounts */
/** @typedef {import("../context.js").Context} Context */

/** Of three equally probable outcomes, in bits: the most that there is. */
const MOST_ENTROPY = Math.log2(3);

/** Distance between both orders from which on the place of an answer decides much. */
const WIDE_GAP = 0.2;

/** What is counted of an answer, in the order in which it is told. @type {readonly (readonly [keyof StyleCounts, string])[]} */
const COUNTED = [
  ["characters", "characters"],
  ["lines", "lines"],
  ["headings", "headings"],
  ["list_items", "list items"],
  ["bold", "bold"],
  ["code_blocks", "code blocks"],
  ["tables", "tables"],
  ["links", "links"],
  ["digits", "digits"],
];

/**
 * @param {Verdict} verdict
 * @param {Context} context
 * @returns {HTMLElement[]}
 */
export function detail(verdict, context) {
  const looks = style(verdict);
  const texts = textsOf(context, verdict);
  return [
    part("What each judge said", opinions(verdict)),
    el("div", { class: "verdict-parts" }, part("The verdict", facts(answer(verdict))), part("How it came", facts(way(verdict)), stages(verdict)), looks && part("How the answers look", looks)),
    ...(texts ? [texts] : []),
  ];
}

/** @param {string} heading @param {...(HTMLElement | null)} children */
function part(heading, ...children) {
  return el("section", { class: "verdict-part" }, el("h2", null, heading), children);
}

/** @param {readonly (readonly [string, import("../dom.js").Child | import("../dom.js").Child[]] | null)[]} told */
function facts(told) {
  return el("dl", { class: "facts" }, told.map((one) => one && el("div", null, el("dt", null, one[0]), el("dd", null, one[1]))));
}

/** @param {Verdict} verdict */
function opinions(verdict) {
  const { id, judges, recused } = verdict;
  if (judges.length === 0) return el("p", { class: "nothing" }, "No opinion of a judge is kept.");
  const both = judges.some((judge) => judge.as_given !== null);
  /** @param {Probabilities | null} said */
  const bar = (said) => (said ? outcomeBar(said, verdict, { small: true }) : el("span", { class: "nothing" }, NOTHING));
  const columns = ["Judge", ...(both ? ["A first", "B first", "Both together", "Position gap"] : ["Said"])];
  /** With the name of its column, which stands beside it on a phone. @param {number} place @param {import("../dom.js").Child} child @param {string} [kind] */
  const cell = (place, child, kind) => el("td", { role: "cell", class: kind, "data-column": columns[place] }, child);
  return el(
    "div",
    { class: "table-scroll", role: "region", "aria-label": `Opinions on ${id}`, tabindex: 0 },
    el(
      "table",
      { class: "table opinions", role: "table" },
      el("caption", { class: "visually-hidden" }, "What each judge said"),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, columns.map((label) => el("th", { scope: "col", role: "columnheader", class: classes(isNumeric(label) && "numeric") }, label)))),
      el(
        "tbody",
        { role: "rowgroup" },
        judges.map(({ name, kind, weight, probabilities, as_given: given, swapped, position_gap: gap, cut }) =>
          el(
            "tr",
            { role: "row" },
            el(
              "th",
              { scope: "row", role: "rowheader" },
              name,
              el("span", { class: "row-detail" }, weight === null ? kind : `${kind}, weighs ${percent(weight)}`),
              cut && tag("did not read all", "warning"),
              recused.includes(name) && tag(weight === 0 ? "did not count: may be its own family's" : "counted, though it may be its own family's"),
            ),
            both && [cell(1, bar(given)), cell(2, bar(swapped))],
            cell(both ? 3 : 1, outcomeBar(probabilities, verdict)),
            both && cell(4, gap !== null && gap >= WIDE_GAP ? tag(number(gap, 2), "warning") : number(gap, 2), "numeric"),
          ),
        ),
      ),
    ),
  );
}

/** @param {string} label */
const isNumeric = (label) => label === "Position gap";

/** @param {Verdict} verdict @returns {(readonly [string, import("../dom.js").Child] | null)[]} */
function answer({ probabilities, adjusted, disagreement, entropy, judges, left_out: leftOut, recused }) {
  return [
    ["A preferred", percent(probabilities.model_a, 1)],
    ["Tie", percent(probabilities.tie, 1)],
    ["B preferred", percent(probabilities.model_b, 1)],
    adjusted && ["Length taken out", describe(adjusted)],
    judges.length > 1 ? ["Disagreement of the judges", `${number(disagreement, 3)} bits`] : null,
    entropy === null ? null : ["Entropy", `${number(entropy, 2)} of ${number(MOST_ENTROPY, 2)} bits`],
    recused.length > 0 ? ["Recused", list(recused)] : null,
    leftOut.length > 0 ? ["Failed and left out", list(leftOut)] : null,
  ];
}

/** @param {Verdict} verdict @returns {(readonly [string, import("../dom.js").Child] | null)[]} */
function way({ id, published_at: at, source, queue_s: queue, tokenise_s: tokenise, inference_s: inference, review_chosen: review, language }) {
  const total = queue === null || tokenise === null || inference === null ? null : queue + tokenise + inference;
  return [
    ["Battle", el("code", null, id)],
    ["Source", el("code", null, "topic" in source ? spot(source) : `${source.file}:${source.line}`)],
    language ? ["Language", language] : null,
    ["Published", moment(at)],
    total === null ? null : ["Took", duration(total)],
    review === null ? null : ["A person", review ? "was asked to look at it" : "was not asked"],
  ];
}

/** How long each stage took, as a bar and in words. @param {Verdict} verdict */
function stages({ queue_s: queue, tokenise_s: tokenise, inference_s: inference }) {
  if (queue === null || tokenise === null || inference === null) return null;
  const told = /** @type {const} */ ([
    ["waited", queue, "queue"],
    ["tokenised", tokenise, "tokenise"],
    ["read by the judges", inference, "inference"],
  ]);
  return el(
    "div",
    { class: "stages" },
    el("div", { class: "stages-bar", "aria-hidden": "true" }, told.map(([, seconds, kind]) => el("span", { "data-stage": kind, style: { "flex-grow": Math.max(1000 * seconds, 1) } }))),
    el("p", { class: "stages-words" }, told.map(([words, seconds, kind]) => el("span", { "data-stage": kind }, `${words} ${duration(seconds)}`))),
  );
}

/** @param {Verdict} verdict */
function style({ style: looks }) {
  if (!looks) return null;
  const rows = COUNTED.filter(([name]) => looks.a[name] > 0 || looks.b[name] > 0);
  return el(
    "table",
    { class: "table looks" },
    el("caption", { class: "visually-hidden" }, "What is counted of both answers"),
    el("thead", null, el("tr", null, ["Counted", "A", "B", "A − B"].map((label, place) => el("th", { scope: "col", class: classes(place > 0 && "numeric") }, label)))),
    el(
      "tbody",
      null,
      rows.map(([name, words]) =>
        el(
          "tr",
          null,
          el("th", { scope: "row" }, words),
          [number(looks.a[name]), number(looks.b[name]), signed(looks.a[name] - looks.b[name])].map((text) => el("td", { class: "numeric" }, text)),
        ),
      ),
    ),
  );
}
