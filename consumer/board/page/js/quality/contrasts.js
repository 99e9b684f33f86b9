/** How battles differ from others: now from the weeks before, and those with a vote from those without. */

import { DataTable, tag } from "../components.js";
import { el } from "../dom.js";
import { number, percent } from "../format.js";

/** @typedef {import("../types.js").Contrast} Contrast */

/** A distance that fills the bar: a quarter of all battles would have to be others. */
const FULL = 0.25;

/** Categories that are named. */
const NAMED = 2;

/**
 * The table; `update` shows others.
 *
 * @param {string} caption
 * @param {{one: string, other: string}} groups what both are, such as `now` and `before`.
 * @returns {HTMLElement & {update: (contrasts: readonly Contrast[]) => void}}
 */
export function contrastTable(caption, { one, other }) {
  /** @type {DataTable<Contrast>} */
  const table = new DataTable({
    caption,
    key: ({ what }) => what,
    columns: [
      { label: "In", header: true, cell: (contrast) => [contrast.what, el("span", { class: "row-detail" }, inWords(contrast, one, other))] },
      {
        label: "Distance",
        hint: "The share of one group that would have to be of other categories for both to be alike",
        cell: (contrast) => [bar(contrast), el("span", { class: "distance-told" }, distance(contrast))],
      },
    ],
  });
  table.node.classList.add("contrast-table");
  return Object.assign(table.node, { update: (/** @type {readonly Contrast[]} */ contrasts) => table.show(contrasts) });
}

/** @param {Contrast} contrast */
function distance({ distance, by_chance_99: chance }) {
  if (distance === null) return "";
  return `${percent(distance, 1)}${chance === null ? "" : `; chance: up to ${percent(chance, 1)}`}`;
}

/** Whether any of them can be compared. @param {readonly Contrast[]} contrasts */
export const comparable = (contrasts) => contrasts.some(({ distance }) => distance !== null);

/** The distance, with a mark at what chance stays below. @param {Contrast} contrast */
function bar({ distance, by_chance_99: chance, differs }) {
  if (distance === null) return null;
  const share = (/** @type {number} */ value) => `${(100 * Math.min(1, value / FULL)).toFixed(1)}%`;
  return el(
    "span",
    { class: "distance", "data-differs": String(differs), "aria-hidden": "true" },
    el("span", { class: "distance-bar", style: { width: share(distance) } }),
    chance !== null && el("span", { class: "distance-chance", style: { left: share(chance) } }),
  );
}

/** @param {Contrast} contrast @param {string} one @param {string} other */
function inWords({ distance, differs, most, battles, other_battles: others }, one, other) {
  if (distance === null) return `too few battles: ${number(battles)} ${one}, ${number(others)} ${other}`;
  if (!differs) return "alike, as far as these battles tell";
  const named = most.slice(0, NAMED).map((each) => `${each.category}: ${percent(each.one)} ${one}, ${percent(each.other)} ${other}`);
  return [tag("differs", "warning"), ` ${named.join("; ")}`];
}
