/** Who leads, in a sentence that is read in two seconds and says no more than the numbers do. */

import { list, number, plural } from "../format.js";

/**
 * @typedef {import("../types.js").StrengthTable} StrengthTable
 * @typedef {import("../types.js").ModelLine} ModelLine
 * @typedef {{title: string, lead: string}} Headline
 */

/** Who cannot tell models apart, where they can't. */
const SPEAKERS = { votes: "Votes", judges: "The judges", both: "Votes and judges together" };

/** @param {StrengthTable} table @returns {Headline} */
export function headline(table) {
  const rated = table.models.filter((line) => line.rating !== null);
  const [first, second] = rated;
  if (!first) return { title: "Nobody leads yet", lead: "No model has a rating: there are too few votes and preferences." };
  if (!second) return { title: `Only ${first.model} has a rating`, lead: "A second model is needed for one of them to lead." };
  const points = Math.round((first.rating ?? 0) - (second.rating ?? 0));
  if (points < 1) return { title: `${first.model} and ${second.model} are level`, lead: "Less than a point lies between them." };
  return { title: `${first.model} leads by ${plural(points, "point")}`, lead: certainty(table, first, rated) };
}

/**
 * How sure that is, by rank ranges. Of the leader: one plus the number of models that it is not surely better than is its
 * worst rank; whose best rank is 1, of that one nobody is surely better.
 *
 * @param {StrengthTable} table
 * @param {ModelLine} first
 * @param {readonly ModelLine[]} rated
 */
function certainty(table, first, rated) {
  const speaker = SPEAKERS[table.judges_weight === 0 && table.method === "both" ? "votes" : table.method];
  if (first.rank_high === null) return "Nothing says yet how sure that is: no interval can be told.";
  if (first.rank_high === 1) return `It is ahead of every other model, as far as ${lower(speaker)} can tell (95 %).`;
  const rivals = rated.filter((line) => line !== first && line.rank_low === 1).map((line) => line.model);
  const untold = first.rank_high - 1;
  if (rivals.length === untold) return `${speaker} can’t yet tell it from ${list(rivals)}.`;
  return `${speaker} can’t yet tell it from ${plural(untold, "other model")}.`;
}

/** @param {string} text */
const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);

/** What it rests on. @param {StrengthTable} table */
export function basis(table) {
  const models = plural(table.models.length, "model");
  const votes = table.method === "judges" ? null : plural(table.votes, "vote");
  const battles = table.method === "votes" ? null : `${number(table.preferences)} judged ${table.preferences === 1 ? "battle" : "battles"}`;
  return [models, votes, battles].filter(Boolean).join(" · ");
}

/** What the chosen method is, and what is in it. @param {StrengthTable} table @returns {string} */
export function explanation(table) {
  const told = {
    votes: "What people said, and nothing else: slow to become sure.",
    judges: "What the judges said of every battle: quickly sure, but their own bias is in it, and not in the intervals.",
    both: both(table),
  }[table.method];
  const style = " Style control takes out what length and markdown win by themselves.";
  return table.style_control ? told + style : told;
}

/** @param {StrengthTable} table */
function both({ judges_weight: weight }) {
  if (weight === 0) return "What people said: the judges’ answers narrow no interval of these votes.";
  if (weight === null) return "What people said and what the judges said, as far as there is either.";
  return "What people said, its intervals narrowed by the judges as far as they agree with people; their bias moves nothing.";
}
