/** A line of the list of verdicts: what it shows at a glance. What it opens is made when it is opened. */

import { outcomeBar } from "../charts/outcome-bar.js";
import { el } from "../dom.js";
import { ago, moment, number, plural } from "../format.js";
import { detail } from "./detail.js";
import { spot } from "./feed.js";

/** @typedef {import("../types.js").Verdict} Verdict */
/** @typedef {import("../context.js").Context} Context */

/** Bits from which on the judges' answers lie visibly apart; from the second on widely, as the board's warnings have it. */
const APART = 0.01;
const WIDELY = 0.09;

/** @param {import("./feed.js").Item} item @param {Context} context @returns {HTMLLIElement} */
export function row(item, context) {
  if (item.kind === "verdict") return verdictRow(item.verdict, context);
  if (item.kind === "skipped") return el("li", { class: "verdict-quiet" }, `${plural(item.count, `more ${item.what}`)} came here, faster than can be read`);
  const { reason, at } = item.letter;
  return el(
    "li",
    { class: "verdict-quiet", "data-kind": "dead" },
    el("span", { class: "verdict-quiet-mark", "aria-hidden": "true" }, "×"),
    el("span", null, "Not scored: ", el("strong", null, reason), ", a dead letter of ", el("code", null, spot(item.letter))),
    age(at),
  );
}

/** @param {Verdict} verdict @param {Context} context */
function verdictRow(verdict, context) {
  const { model_a: a, model_b: b, preferred, language, probabilities } = verdict;
  const body = el("div", { class: "verdict-detail" });
  const opened = el(
    "details",
    {
      class: "verdict",
      on: {
        toggle: () => {
          if (opened.open && !body.hasChildNodes()) body.append(...detail(verdict, context));
        },
      },
    },
    el(
      "summary",
      { class: "verdict-line" },
      el("span", { class: "verdict-model", "data-side": "a", "data-preferred": String(preferred === "model_a") }, name(a, "A")),
      el("span", { class: "visually-hidden" }, " against "),
      el("span", { class: "verdict-model", "data-side": "b", "data-preferred": String(preferred === "model_b") }, name(b, "B")),
      el("span", { class: "visually-hidden" }, ": "),
      el("span", { class: "verdict-bar" }, outcomeBar(probabilities, verdict)),
      el(
        "span",
        { class: "verdict-facts" },
        el("span", { class: "verdict-id", title: verdict.id }, verdict.id),
        el("span", { class: "verdict-notes" }, language && el("span", { class: "verdict-language" }, language), agreement(verdict)),
      ),
      age(verdict.published_at),
    ),
    body,
  );
  return el("li", { class: "verdict-item" }, opened);
}

/** @param {string | null} model @param {string} side */
function name(model, side) {
  return [el("span", { class: "side", "data-side": side.toLowerCase(), "aria-hidden": "true" }, side), el("span", { class: "verdict-name", title: model }, model ?? "not told")];
}

/** @param {Verdict} verdict */
function agreement({ judges, disagreement }) {
  if (judges.length < 2) return el("span", { class: "verdict-agreement" }, "one judge");
  const [words, kind] =
    disagreement >= WIDELY ? ["judges differ widely", "apart"] : disagreement >= APART ? ["judges differ", "near"] : ["judges agree", "agree"];
  return el("span", { class: "verdict-agreement", "data-kind": kind, title: `${number(disagreement, 3)} bits of disagreement` }, words);
}

/** @param {string} at */
function age(at) {
  return el("time", { class: "verdict-age", datetime: at, title: moment(at) }, ago(at));
}

