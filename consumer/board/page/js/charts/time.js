/** Ticks of time on a chart. */

import { shortClock, shortDay } from "../format.js";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Distances between ticks: those that a clock or a calendar has. */
const STEPS_MS = [
  ...[1, 5, 10, 15, 30].map((minutes) => minutes * MINUTE_MS),
  ...[1, 3, 6, 12].map((hours) => hours * HOUR_MS),
  ...[1, 2, 7, 14, 28].map((days) => days * DAY_MS),
];

/**
 * Moments on whole minutes, hours or days of the reader's own clock.
 *
 * @param {number} from in ms since the epoch
 * @param {number} to
 * @param {number} [most] so many, or one more
 * @returns {{ticks: number[], text: (at: number) => string}}
 */
export function timeTicks(from, to, most = 6) {
  const step = STEPS_MS.find((one) => (to - from) / one <= most) ?? DAY_MS * Math.ceil((to - from) / DAY_MS / most);
  const shift = new Date(from).getTimezoneOffset() * MINUTE_MS;
  const ticks = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) ticks.push(at);
  return { ticks, text: step >= DAY_MS ? shortDay : shortClock };
}
