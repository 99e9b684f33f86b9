/** A table whose rows are estimates on one axis: a name, a dot with whiskers, and the numbers. */

import { DataTable } from "../components.js";
import { linear } from "../charts/scale.js";
import { whisker } from "../charts/whisker.js";
import { el } from "../dom.js";

/** @typedef {import("../types.js").Estimate} Estimate */
/** @typedef {{name: string, estimate: Estimate, told: string, kind?: string, detail?: string}} WhiskerRow `told`: the numbers. */

/**
 * The table; `update` shows others.
 *
 * @param {string} caption
 * @param {{first: string, value: string, include?: number[], least?: number}} words `first`, `value`: heads of the columns;
 *   `include`: values that the axis has in any case; `least`: it spans no less.
 * @returns {HTMLElement & {update: (rows: readonly WhiskerRow[]) => void}}
 */
export function whiskerTable(caption, { first, value, include = [], least = 1e-9 }) {
  let scale = linear([0, 1]);
  /** @type {DataTable<WhiskerRow>} */
  const table = new DataTable({
    caption,
    key: (row) => row.name,
    columns: [
      {
        label: first,
        header: true,
        cell: ({ name, detail }) => [name, detail && el("span", { class: "row-detail" }, detail)],
      },
      {
        label: `${value}, 95 % interval`,
        cell: ({ estimate, kind, told }) => {
          const mark = whisker();
          mark.update({ ...estimate, scale });
          return el(
            "div",
            { class: "whisker-cell" },
            el("div", { class: "whisker-place", "data-kind": kind }, mark, include.includes(0) && zero(scale(0))),
            el("span", { class: "whisker-told" }, told),
          );
        },
      },
    ],
  });
  table.node.classList.add("whisker-table");
  const update = (/** @type {readonly WhiskerRow[]} */ rows) => {
    const ends = rows.flatMap(({ estimate: { value, low, high } }) => [value, low, high]);
    scale = linear(ends.filter((end) => end !== null), { include, least, pad: 0.06 });
    table.show(rows);
  };
  return Object.assign(table.node, { update });
}

/** Where nothing is. @param {number} share of the width. */
const zero = (share) => el("span", { class: "whisker-zero", "aria-hidden": "true", style: { left: `${(100 * share).toFixed(2)}%` } });
