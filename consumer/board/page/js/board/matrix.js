/** How often one model wins against another, as a table whose cells are tinted. */

import { card, showCsv, segmented } from "../components.js";
import { el, replace } from "../dom.js";
import { number, percent } from "../format.js";

/** @typedef {import("../types.js").WinRates} WinRates */

/** More are not legible side by side; a row of the board shows any model against all of its opponents. */
const MOST = 16;

export class Matrix {
  /** @type {"expected" | "observed"} */
  #which = "observed";
  /** @type {WinRates | null} */
  #rates = null;
  #find = "";

  constructor() {
    this.lead = el("span");
    this.csv = el("span");
    this.table = el("table", { class: "matrix" });
    this.switch = segmented("Shares", [["observed", "Observed"], ["expected", "Expected"]], (value) => {
      this.#which = value;
      this.#draw();
    });
    this.switch.set(this.#which);
    this.switch.node.classList.add("bare");
    this.node = card(
      "Against each other",
      { lead: this.lead, actions: [this.switch.node, this.csv] },
      el("div", { class: "matrix-scroll", tabindex: 0, role: "region", "aria-label": "Win rates of pairs" }, this.table),
    );
  }

  /** @param {WinRates} rates @param {string} find @param {import("../api.js").Query} query */
  show(rates, find, query) {
    this.#rates = rates;
    this.#find = find.toLocaleLowerCase();
    showCsv(this.csv, "pairs", query, "win rates of pairs");
    this.#draw();
  }

  #draw() {
    const rates = this.#rates;
    if (!rates) return;
    const all = rates.models.map((model, at) => ({ model, at }));
    const fitting = all.filter(({ model }) => model.toLocaleLowerCase().includes(this.#find));
    const shown = fitting.slice(0, MOST);
    this.node.hidden = shown.length < 2;
    this.lead.textContent = lead(this.#which, shown.length, fitting.length, all.length);
    const shares = rates[this.#which];
    replace(
      this.table,
      el("caption", { class: "visually-hidden" }, "Share of the row’s wins over the column, a tie as half a win"),
      el(
        "thead",
        null,
        el(
          "tr",
          null,
          el("td"),
          shown.map(({ model, at }) => el("th", { scope: "col", title: model }, el("span", { "aria-hidden": "true" }, at + 1), el("span", { class: "visually-hidden" }, model))),
        ),
      ),
      el(
        "tbody",
        null,
        shown.map((row) =>
          el(
            "tr",
            null,
            el("th", { scope: "row" }, el("span", { class: "matrix-place" }, row.at + 1), " ", el("span", { class: "matrix-name", title: row.model }, row.model)),
            shown.map((column) => cell(rates, shares[row.at]?.[column.at] ?? null, row, column)),
          ),
        ),
      ),
    );
  }
}

/**
 * @param {WinRates} rates
 * @param {number | null} share
 * @param {{model: string, at: number}} row
 * @param {{model: string, at: number}} column
 */
function cell(rates, share, row, column) {
  if (row.at === column.at) return el("td", { class: "matrix-self" }, el("span", { class: "visually-hidden" }, "itself"));
  const met = rates.meetings[row.at]?.[column.at] ?? 0;
  const expected = percent(rates.expected[row.at]?.[column.at]);
  const observed = percent(rates.observed[row.at]?.[column.at]);
  const title = `${row.model} against ${column.model}: expected ${expected}, observed ${observed} in ${number(met)} meetings`;
  if (share === null) return el("td", { class: "matrix-none", title }, "·");
  const side = share >= 0.5 ? "win" : "loss";
  const weight = `${Math.round(Math.min(1, Math.abs(share - 0.5) / 0.4) * 62)}%`;
  return el("td", { class: "matrix-cell", "data-side": side, style: { "--weight": weight }, title }, number(100 * share));
}

/** @param {"expected" | "observed"} which @param {number} shown @param {number} fitting @param {number} all */
function lead(which, shown, fitting, all) {
  const what = which === "observed" ? "Percent of meetings that the row’s model won against the column’s" : "Percent that the row’s model should win against the column’s, by their ratings";
  const rest = fitting > shown ? ` The first ${shown} of ${number(fitting)}: filter by name, or open a row above, for others.` : "";
  return `${what}; a tie is half a win.${rest || (all > shown ? " As filtered." : "")}`;
}
