/** Probabilities of the three outcomes as one bar: A, tie, B; the same colours and order everywhere. */

import { el } from "../dom.js";
import { percent } from "../format.js";

/** @typedef {import("../types.js").Probabilities} Probabilities */

/** @type {readonly (readonly [keyof Probabilities, string])[]} */
const PARTS = [["model_a", "a"], ["tie", "tie"], ["model_b", "b"]];

/** Parts that are narrower have no room for their number. */
const ROOM = 0.16;

/**
 * The bar, which tells its numbers to a screen reader, too. `update` shows others.
 *
 * @param {Probabilities} probabilities
 * @param {{model_a?: string | null, model_b?: string | null}} [names]
 * @param {{small?: boolean}} [options] `small`: without numbers on it.
 * @returns {HTMLDivElement & {update: (probabilities: Probabilities) => void}}
 */
export function outcomeBar(probabilities, names = {}, { small = false } = {}) {
  const parts = PARTS.map(([, kind]) => el("span", { class: "outcome-part", "data-outcome": kind }, el("span")));
  const bar = el("div", { class: small ? "outcome-bar small" : "outcome-bar", role: "img" }, parts);
  /** @param {Probabilities} told */
  const update = (told) => {
    PARTS.forEach(([outcome, kind], place) => {
      const part = parts[place];
      if (!part) return;
      part.style.setProperty("flex-grow", String(Math.max(told[outcome], 0.004)));
      const label = /** @type {HTMLElement} */ (part.firstElementChild);
      const letter = kind === "tie" ? "tie" : kind.toUpperCase();
      label.textContent = small || told[outcome] < ROOM ? "" : `${letter} ${percent(told[outcome])}`;
    });
    bar.setAttribute("aria-label", describe(told, names));
  };
  update(probabilities);
  return Object.assign(bar, { update });
}

/**
 * The same in words: `A (gpt-5) 61 %, tie 20 %, B (llama) 19 %`.
 *
 * @param {Probabilities} probabilities
 * @param {{model_a?: string | null, model_b?: string | null}} [names]
 */
export function describe(probabilities, { model_a = null, model_b = null } = {}) {
  const a = model_a ? `A (${model_a})` : "A";
  const b = model_b ? `B (${model_b})` : "B";
  return `${a} ${percent(probabilities.model_a)}, tie ${percent(probabilities.tie)}, ${b} ${percent(probabilities.model_b)}`;
}

/** What the colours mean, to stand once above bars. @returns {HTMLElement} */
export function outcomeLegend() {
  const words = { a: "A preferred", tie: "tie", b: "B preferred" };
  return el(
    "p",
    { class: "legend" },
    PARTS.map(([, kind]) =>
      el("span", { class: "legend-item", "data-outcome": kind }, words[/** @type {"a" | "tie" | "b"} */ (kind)]),
    ),
  );
}
