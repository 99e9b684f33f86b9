/** Estimates of the API as text, and whether one is on a side of nothing. */

import { estimate, NOTHING, number, percent, signed } from "./format.js";

/** @typedef {import("./types.js").Estimate} Estimate */

/** A share with its interval: `63 % [58, 68]`. @param {Estimate | null | undefined} share @param {number} [places] */
export function shareTold(share, places = 0) {
  if (!share || share.value === null) return NOTHING;
  const { value, low, high } = share;
  const told = percent(value, places);
  return low === null || high === null ? told : `${told} [${number(100 * low, places)}, ${number(100 * high, places)}]`;
}

/** A difference with its sign: `−0.051 [−0.082, −0.020]`. @param {Estimate | null | undefined} difference */
export function differenceTold(difference, places = 3) {
  if (!difference || difference.value === null) return NOTHING;
  const { value, low, high } = difference;
  const told = signed(value, places);
  return low === null || high === null ? told : `${told} [${signed(low, places)}, ${signed(high, places)}]`;
}

/** A difference of shares, in points of a hundred: `+4 [+1, +7] points`. @param {Estimate | null | undefined} difference */
export function pointsTold(difference, places = 1) {
  const told = differenceTold(hundredfold(difference), places);
  return told === NOTHING ? told : `${told} points`;
}

/** @param {Estimate | null | undefined} share @returns {Estimate | null} */
function hundredfold(share) {
  if (!share) return null;
  const grown = (/** @type {number | null} */ one) => (one === null ? null : 100 * one);
  return { value: grown(share.value), low: grown(share.low), high: grown(share.high) };
}

/** Whether the whole interval is above 0. @param {Estimate | null | undefined} difference */
export function isAbove(difference) {
  return typeof difference?.low === "number" && difference.low > 0;
}

/** Whether the whole interval is below 0. @param {Estimate | null | undefined} difference */
export function isBelow(difference) {
  return typeof difference?.high === "number" && difference.high < 0;
}

export { estimate as valueTold };
