/** The numbers of a chart as a table, for who does not see it and for who wants to know exactly. */

import { DataTable } from "../components.js";
import { el } from "../dom.js";

/**
 * A table that is folded in; `update` shows other rows.
 *
 * @template Row
 * @param {string} caption
 * @param {import("../components.js").Column<Row>[]} columns
 * @param {(row: Row) => string} key
 * @returns {HTMLElement & {update: (rows: readonly Row[]) => void}}
 */
export function numbers(caption, columns, key) {
  const table = new DataTable({ caption, columns, key });
  const node = el("details", { class: "numbers" }, el("summary", null, "The numbers"), table.node);
  return Object.assign(node, { update: (/** @type {readonly Row[]} */ rows) => table.show(rows) });
}
