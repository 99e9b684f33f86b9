/** One try: how far it is, then its verdict, or why there is none. */

import { outcomeBar } from "../charts/outcome-bar.js";
import { failure, figure, figures, note, tag } from "../components.js";
import { el, replace, setText } from "../dom.js";
import { duration, NOTHING, number, percent } from "../format.js";

/**
 * @typedef {import("../types.js").Verdict} Verdict
 * @typedef {import("../types.js").OutcomeName} OutcomeName
 * @typedef {import("../types.js").JudgeVerdict} JudgeVerdict
 * @typedef {import("./attempt.js").Attempt} Attempt
 * @typedef {{again: (attempt: Attempt) => void, doubts: () => string | null}} Around `again`: put its texts into the form;
 *   `doubts`: why the stream may not answer, as far as the board knows.
 */

/** Judges of the demo take a second, large ones some; so long nobody waits without wanting to know why. */
export const LONG_MS = 60_000;

/** Distance between both orders from which on the place of an answer decides much. */
const WIDE_GAP = 0.2;

/** Of the prompt, as a heading. */
const HEAD_CHARACTERS = 90;

/** @type {Record<OutcomeName, string>} */
const HEADLINES = { model_a: "A is preferred", model_b: "B is preferred", tie: "A tie" };

/** Answers whose probabilities differ by less are told to be even: what is shown of them is the same. */
const EVEN = 0.005;

/** @type {Record<string, string>} */
const REASONS = {
  too_large_for_judge: "a judge can't read so much: shorten the texts, or raise max_length of the judge",
  field_too_large: "a text is larger than any judge reads",
  preference_too_large: "its preference was larger than the topic takes",
};

/** What a verdict says, in a line. @param {Verdict} verdict */
export function headline({ probabilities, preferred }) {
  const even = preferred !== "tie" && Math.abs(probabilities.model_a - probabilities.model_b) < EVEN;
  return even ? `A and B are even, ${percent(probabilities.model_a)} each` : `${HEADLINES[preferred]}, ${percent(probabilities[preferred])}`;
}

/** A card that is drawn anew where its try changes, and counts up until then. */
export class AttemptCard {
  /** Whether it is told already that it takes long. */
  #long = false;

  /** @param {Attempt} attempt @param {Around} around */
  constructor(attempt, around) {
    this.attempt = attempt;
    this.around = around;
    const prompt = attempt.draft.prompt.trim();
    const head = prompt.length > HEAD_CHARACTERS ? `${prompt.slice(0, HEAD_CHARACTERS)}…` : prompt;
    this.time = el("span", { class: "try-time", "aria-hidden": "true" });
    this.mark = el("span", { class: "try-mark" });
    this.body = el("div", { class: "try-body" });
    const again = el("button", { class: "link", type: "button", "aria-label": `Put try ${attempt.number} into the form`, on: { click: () => around.again(attempt) } }, "Edit again");
    this.node = el(
      "article",
      { class: "card try-card", "aria-label": `Try ${attempt.number}` },
      el(
        "header",
        { class: "try-head" },
        el("span", { class: "try-number" }, `Try ${attempt.number}`),
        el("h3", { class: "try-prompt", dir: "auto" }, head),
        this.mark,
        this.time,
      ),
      this.body,
      el("footer", { class: "try-foot" }, el("code", { class: "try-id" }), again),
    );
    this.draw();
  }

  /** Show how far it is. */
  draw() {
    const { attempt } = this;
    this.node.dataset.state = attempt.state;
    setText(/** @type {Node} */ (this.node.querySelector(".try-id")), attempt.id ?? "");
    this.#long = false;
    replace(this.body, this.#content());
    this.tick();
  }

  /** Tell the time that has passed. */
  tick() {
    const { attempt } = this;
    setText(this.time, seconds(attempt.elapsedMs));
    setText(this.mark, MARKS[attempt.state]);
    if (attempt.state !== "sending" && attempt.pending && !this.#long && attempt.elapsedMs > LONG_MS) {
      this.#long = true;
      this.body.append(this.#doubts());
    }
  }

  #content() {
    const { attempt } = this;
    switch (attempt.state) {
      case "sending":
        return steps(attempt, "Being written to the topic of battles");
      case "waiting":
        return steps(attempt, "The judges read it");
      case "unconfirmed":
        return [note(attempt.reason, "warning"), steps(attempt, "Waiting for its verdict all the same")];
      case "judged":
        return attempt.verdict ? judged(attempt, attempt.verdict) : [];
      case "dead":
        return dead(attempt);
      case "refused":
        return failure(attempt.reason);
    }
  }

  /** What may be wrong. */
  #doubts() {
    const told = this.around.doubts();
    return el(
      "div",
      { class: "try-doubts" },
      note(`No verdict for ${LONG_MS / 1000} s. It is still waited for.`, "warning"),
      el(
        "ul",
        null,
        told && el("li", null, `This board says: ${told}.`),
        el("li", null, "Does the stream run? ", el("code", null, "prefstream run"), " answers battles; ", el("a", { href: "#stream" }, "Stream"), " shows how far it is behind."),
        el("li", null, "It may still load its judges, or have many battles before this one."),
        el("li", null, "It may read another topic than the one that this board writes: ", el("code", null, "--battles-topic"), " has to be the same for both."),
      ),
    );
  }
}

/** @type {Record<import("./attempt.js").State, string>} */
const MARKS = { sending: "sending", waiting: "waiting", unconfirmed: "unconfirmed", judged: "judged", dead: "dead letter", refused: "not sent" };

/** Tenths, which are seen to run; then minutes and seconds. @param {number} ms */
function seconds(ms) {
  const whole = Math.floor(ms / 1000);
  return whole < 60 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
}

/** @param {Attempt} attempt @param {string} now */
function steps({ writtenMs, source }, now) {
  const spot = source ? `${source.topic}/${source.partition}/${source.offset}` : "the topic";
  return el(
    "ol",
    { class: "try-steps" },
    writtenMs !== null && el("li", { "data-done": "true" }, "Written as ", el("code", null, spot), ` after ${duration(writtenMs / 1000)}`),
    el("li", { "data-done": "false" }, now),
  );
}

/** @param {Attempt} attempt @param {Verdict} verdict @returns {(HTMLElement | null | false)[]} */
function judged({ tookMs, writtenMs }, verdict) {
  const { probabilities, judges, disagreement, left_out: leftOut } = verdict;
  return [
    el("p", { class: "try-headline" }, headline(verdict)),
    outcomeBar(probabilities),
    figures(...timing(tookMs ?? 0, writtenMs, verdict)),
    el("h4", null, judges.length > 1 ? `What each of the ${judges.length} judges said` : "What the judge said"),
    el("ul", { class: "try-judges" }, judges.map(judge)),
    judges.length > 1 && el("p", { class: "card-words" }, `They disagree by ${number(disagreement, 3)} of 1 bit${disagreement < 0.01 ? ": hardly at all" : ""}.`),
    leftOut.length > 0 && note(`Failed, and left out: ${leftOut.join(", ")}.`, "warning"),
  ];
}

/** @param {number} tookMs @param {number | null} writtenMs @param {Verdict} verdict */
function timing(tookMs, writtenMs, { queue_s: queue, tokenise_s: tokenise, inference_s: inference }) {
  const known = queue !== null && tokenise !== null && inference !== null;
  const rest = known ? Math.max(0, tookMs / 1000 - queue - tokenise - inference) : null;
  return [
    figure("Send to verdict", duration(tookMs / 1000), "as you saw it"),
    figure("The judges read for", duration(inference), known ? `waited ${duration(queue)}, tokenised in ${duration(tokenise)}` : NOTHING),
    figure("On the way", duration(rest), writtenMs === null ? "over both topics, to this page" : `written after ${duration(writtenMs / 1000)}, then both topics and batches`),
  ];
}

/** @param {JudgeVerdict} said */
function judge({ name, kind, weight, probabilities, as_given: given, swapped, position_gap: gap, cut }) {
  const wide = gap !== null && gap >= WIDE_GAP;
  return el(
    "li",
    { class: "try-judge" },
    el("div", { class: "try-judge-name" }, el("strong", null, name), el("span", null, weight === null ? kind : `${kind}, weighs ${percent(weight)}`), cut && tag("did not read all", "warning")),
    outcomeBar(probabilities),
    given && swapped && el("div", { class: "try-orders" }, el("span", null, "A first"), outcomeBar(given, {}, { small: true }), el("span", null, "B first"), outcomeBar(swapped, {}, { small: true })),
    el(
      "p",
      { class: "try-gap", "data-wide": String(wide) },
      gap === null
        ? "Read in one order only, or each answer alone: no position gap."
        : `Position gap ${number(gap, 2)}: ${wide ? "which answer stands first decides much of it" : "it hardly matters which answer stands first"}.`,
    ),
  );
}

/** @param {Attempt} attempt @returns {HTMLElement[]} */
function dead({ reason, source, tookMs }) {
  const why = REASONS[reason];
  const spot = source ? `${source.topic}/${source.partition}/${source.offset}` : "";
  return [
    note(["It became a dead letter: ", el("code", null, reason), why ? `, ${why}.` : "."], "warning"),
    el("p", { class: "card-words" }, `The stream could not score it, and kept it with the reason on the topic of dead letters, ${duration((tookMs ?? 0) / 1000)} after it was sent. `, el("code", null, `prefstream dead-letters list`), ` finds it as the one of ${spot}.`),
  ];
}
