/** Whether the judges can be trusted, in words, by the votes of one window. */

import { differenceTold, isAbove, isBelow } from "../estimates.js";
import { number, percent } from "../format.js";

/** @typedef {import("../types.js").TrustWindow} TrustWindow */

/**
 * @typedef {{
 *   tone: "good" | "doubtful" | "bad" | "unknown",
 *   title: string,
 *   reasons: string[],
 * }} Judgement `title`: the answer; `reasons`: a sentence each.
 */

/** @type {Record<TrustWindow["window"], string>} */
export const LAST = { day: "the last day", week: "the last week" };

/**
 * The answer to: can they be trusted now?
 *
 * @param {TrustWindow} window
 * @returns {Judgement}
 */
export function judge({ window, quality, why_nothing: why, against_shipped: shipped, length }) {
  if (quality === null) {
    return {
      tone: "unknown",
      title: "Nobody can say yet",
      reasons: [`Of ${LAST[window]} there are ${why ?? "no figures"}.`],
    };
  }
  const { log_loss: toPrior } = quality.against_prior;
  const beside =
    `Log loss ${differenceTold(toPrior)} against whoever knows only how votes fell out before, by ` +
    `${number(quality.votes)} votes of ${LAST[window]}`;
  if (isAbove(toPrior)) {
    return { tone: "bad", title: "No: they are worse than knowing nothing", reasons: [`${beside}.`] };
  }
  if (!isBelow(toPrior)) {
    return {
      tone: "doubtful",
      title: "Not shown to be better than knowing nothing",
      reasons: [`${beside}: the interval has 0 in it. More votes narrow it.`],
    };
  }
  const doubts = [];
  if ((quality.calibration_error.value ?? 0) > quality.calibration_error_by_chance_95) {
    doubts.push(
      `Their probabilities are off by ${percent(quality.calibration_error.value, 1)} on average; a perfect panel stays ` +
        `below ${percent(quality.calibration_error_by_chance_95, 1)} in 19 of 20 cases.`,
    );
  }
  if (shipped && isAbove(shipped.log_loss)) {
    doubts.push(`They are worse than they were shipped: log loss ${differenceTold(shipped.log_loss)}.`);
  }
  if (length && isAbove(length.excess)) {
    doubts.push(`They like length more than people do, by ${differenceTold(length.excess, 2)} log-odds a doubling.`);
  }
  return {
    tone: doubts.length > 0 ? "doubtful" : "good",
    title: doubts.length > 0 ? "Better than knowing nothing, with a doubt" : "Yes: they know more than nothing",
    reasons: [`${beside}.`, ...doubts],
  };
}

/** @param {string} sentence */
export const upper = (sentence) => sentence.charAt(0).toUpperCase() + sentence.slice(1);
