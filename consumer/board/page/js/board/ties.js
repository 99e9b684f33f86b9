/** Ties as an outcome of their own. */

import { card, showCsv, DataTable, figure, figures } from "../components.js";
import { el, replace } from "../dom.js";
import { number, percent, signed } from "../format.js";

/** @typedef {import("../types.js").TieTable} TieTable */

export class Ties {
  constructor() {
    this.csv = el("span");
    this.figures = el("div");
    /** @type {Map<string, number | null>} */
    this.ratings = new Map();
    /** @type {DataTable<import("../types.js").TieLine>} */
    this.table = new DataTable({
      caption: "Ratings from battles that somebody won",
      key: (line) => line.model,
      columns: [
        { label: "Model", cell: (line) => line.model, header: true },
        { label: "Rating without ties", cell: (line) => number(line.rating), numeric: true },
        { label: "Against the board", cell: (line) => signed(line.rating - (this.ratings.get(line.model) ?? NaN)), numeric: true },
      ],
    });
    this.table.node.classList.add("ties-scroll");
    this.node = card(
      "Ties",
      {
        lead: "The board counts a tie as half a win. Davidson’s model has it as an outcome of its own, by votes alone.",
        actions: [this.csv],
      },
      el("div", { class: "ties-body" }, this.figures, this.table.node),
    );
  }

  /** @param {TieTable} ties @param {Map<string, number | null>} ratings the board's @param {import("../api.js").Query} query */
  show(ties, ratings, query) {
    this.node.hidden = ties.models.length === 0;
    this.ratings = ratings;
    showCsv(this.csv, "ties", query, "ratings without ties");
    const gain = ties.log_loss === null || ties.log_loss_with_ties_apart === null ? null : ties.log_loss_with_ties_apart - ties.log_loss;
    replace(
      this.figures,
      figures(
        figure("Ties between equals", percent(ties.ties_among_equals), `predicted, of ${number(ties.votes)} votes`),
        figure("Do near models tie more?", gain === null ? null : gain > 0 ? "Yes" : "Not seen", gain === null ? null : `log loss ${signed(-gain, 4)} nats where the model allows for it`),
      ),
    );
    this.table.show(ties.models);
  }
}
