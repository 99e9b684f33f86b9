/** From values to places on a chart. */

/**
 * @typedef {{
 *   (value: number): number,
 *   domain: [number, number],
 *   ticks: number[],
 * }} Scale from values to 0..1 (beyond, for those beyond the domain).
 */

/** Of one digit each: labels are rounded, and one of 2.5 would read 3. */
const STEPS = [1, 2, 5, 10];

/**
 * Round values in a range.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} [about] how many.
 * @returns {number[]}
 */
export function ticks(low, high, about = 5) {
  if (!(high > low)) return [low];
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (STEPS.find((one) => one * power >= rough) ?? 10);
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place += 1) {
    found.push(Number((place * step).toPrecision(12)));
  }
  return found;
}

/**
 * A linear scale with round ticks.
 *
 * @param {readonly number[]} values that it spans.
 * @param {{about?: number, pad?: number, least?: number, include?: number[]}} [options] `pad`: share of the span that is left
 *   free at both ends; `least`: the span is never smaller.
 * @returns {Scale}
 */
export function linear(values, { about = 5, pad = 0.04, least = 1e-9, include = [] } = {}) {
  const there = [...values, ...include].filter(Number.isFinite);
  let low = there.reduce((a, b) => Math.min(a, b), Infinity);
  let high = there.reduce((a, b) => Math.max(a, b), -Infinity);
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  const missing = least - (high - low);
  if (missing > 0) [low, high] = [low - missing / 2, high + missing / 2];
  const free = (high - low) * pad;
  return span(low - free, high + free, about);
}

/**
 * A linear scale between two values.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} [about]
 * @returns {Scale}
 */
export function span(low, high, about = 5) {
  const scale = /** @type {Scale} */ ((value) => (value - low) / (high - low || 1));
  scale.domain = [low, high];
  scale.ticks = ticks(low, high, about);
  return scale;
}
