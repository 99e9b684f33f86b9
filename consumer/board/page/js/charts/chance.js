/** What chance alone does to a share. */

/**
 * Where the share of a binomial lies in 19 of 20 cases.
 *
 * @param {number} count of cases, a whole number
 * @param {number} probability of each, 0 to 1
 * @returns {[number, number]} shares, 0 to 1
 */
export function chanceBand(count, probability) {
  if (count < 1) return [0, 1];
  if (probability <= 0) return [0, 0];
  if (probability >= 1) return [1, 1];
  // In logarithms: of many cases the first terms are too small for a double.
  const odds = Math.log(probability) - Math.log1p(-probability);
  let term = count * Math.log1p(-probability);
  let below = 0;
  let low = 0;
  for (let hits = 0; hits < count; hits += 1) {
    below += Math.exp(term);
    if (below <= 0.025) low = hits + 1;
    if (below >= 0.975) return [low / count, hits / count];
    term += Math.log((count - hits) / (hits + 1)) + odds;
  }
  return [low / count, 1];
}
