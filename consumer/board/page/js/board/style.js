/** What a style is worth by itself, when both models are equal. */

import { card } from "../components.js";
import { linear } from "../charts/scale.js";
import { grid, whisker } from "../charts/whisker.js";
import { el, replace } from "../dom.js";
import { percent } from "../format.js";

/** @typedef {import("../types.js").StyleLine} StyleLine */

/** @type {Record<string, string>} */
const WORDS = { length: "a longer answer", headings: "more headings", lists: "more list items", bold: "more bold text", markdown: "more markdown" };

export class StyleCard {
  constructor() {
    this.body = el("tbody");
    this.axis = el("th", { scope: "col", class: "style-chart" });
    this.table = el(
      "table",
      { class: "table style-table" },
      el("caption", { class: "visually-hidden" }, "How often an answer wins by its style alone"),
      el("thead", null, el("tr", null, el("th", { scope: "col" }, "Style"), this.axis, el("th", { scope: "col", class: "numeric" }, "Wins"))),
      this.body,
    );
    this.node = card(
      "What style is worth",
      { lead: "How often an answer would win against one of an equal model by one standard deviation more of a style alone: 50\u00a0% is nothing. Style control has taken this out of the ratings above." },
      this.table,
    );
  }

  /** @param {readonly StyleLine[]} style */
  show(style) {
    this.node.hidden = style.length === 0;
    const lines = style.map((line) => ({
      name: WORDS[line.name] ?? line.name,
      value: share(line.coefficient),
      low: line.lower === null ? null : share(line.lower),
      high: line.upper === null ? null : share(line.upper),
    }));
    const scale = linear(lines.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value]), { include: [0.5], least: 0.1, about: 5 });
    this.table.style.setProperty("--grid", grid(scale));
    replace(
      this.axis,
      el("div", { class: "board-axis", "aria-hidden": "true" }, scale.ticks.map((tick) => el("span", { style: { left: `${(100 * scale(tick)).toFixed(2)}%` } }, percent(tick)))),
      el("span", { class: "visually-hidden" }, "Chart"),
    );
    replace(
      this.body,
      lines.map(({ name, value, low, high }) => {
        const drawn = whisker();
        drawn.update({ value, low, high, scale });
        const ends = low === null || high === null ? "" : `[${percent(low)}, ${percent(high)}]`;
        return el(
          "tr",
          null,
          el("th", { scope: "row" }, name),
          el("td", { class: "style-chart" }, drawn),
          el("td", { class: "numeric" }, el("span", { class: "board-rating-number" }, percent(value)), " ", el("span", { class: "board-ends" }, ends)),
        );
      }),
    );
  }
}

/** Of a coefficient in log-odds. @param {number} logOdds */
const share = (logOdds) => 1 / (1 + Math.exp(-logOdds));
