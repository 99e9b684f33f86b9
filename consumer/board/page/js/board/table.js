/** The table of models: place, name, dot and whiskers on an axis that all share, rating, battles, votes. */

import { el, KeyedRows, replace, setAttributes, setText, svg } from "../dom.js";
import { interval, number, range } from "../format.js";
import { linear } from "../charts/scale.js";
import { grid, whisker } from "../charts/whisker.js";

/**
 * @typedef {import("../types.js").ModelLine} ModelLine
 * @typedef {import("../charts/scale.js").Scale} Scale
 * @typedef {{
 *   row: HTMLTableRowElement,
 *   place: HTMLElement,
 *   ranks: HTMLElement,
 *   button: HTMLButtonElement,
 *   whisker: ReturnType<typeof whisker>,
 *   why: HTMLElement,
 *   rating: HTMLElement,
 *   ends: HTMLElement,
 *   battles: HTMLElement,
 *   votes: HTMLElement,
 * }} Parts of a row that change.
 */

/** An interval that is so many times as wide as the middle one goes to the edge of the chart, and does not press the others together. */
const WILD = 4;

/** Rows that are made at a time. */
const SLICE = 40;

const COLUMNS = 6;

export class ModelTable {
  /** @type {Map<string, Parts>} */
  #parts = new Map();
  /** @type {Scale} */
  #scale = linear([900, 1100]);
  /** @type {{model: string, node: HTMLElement} | null} */
  #open = null;
  /** @type {number | undefined} */
  #later;

  /** @param {(model: string) => void} onToggle a row is to be opened or closed. */
  constructor(onToggle) {
    this.onToggle = onToggle;
    const body = el("tbody", { role: "rowgroup" });
    this.axis = el("div", { class: "board-axis", "aria-hidden": "true" });
    /** @param {string} kind @param {...import("../dom.js").Child} words */
    const head = (kind, ...words) => el("th", { scope: "col", role: "columnheader", class: `board-${kind}` }, words);
    this.table = el(
      "table",
      { class: "board-table", role: "table" },
      el("caption", { class: "visually-hidden" }, "Models by rating, with 95 % intervals"),
      el(
        "thead",
        { role: "rowgroup" },
        el(
          "tr",
          { role: "row" },
          head("place", el("abbr", { title: "Place by rating, and the ranks that the data allow (95 %)" }, "Rank")),
          head("model", "Model"),
          head("chart", el("span", { class: "visually-hidden" }, "Chart of rating and interval"), this.axis),
          head("rating", el("abbr", { title: "Elo points with their 95 % interval: 400 points are odds of 10 to 1; the mean of all is 1,000" }, "Rating")),
          head("battles", el("abbr", { title: "The model’s battles that these strengths are from" }, "Battles")),
          head("votes", el("abbr", { title: "Sum of the weights of the model’s votes: one that was asked for with a chance of 1 in 10 weighs 10" }, "Votes")),
        ),
      ),
      body,
    );
    this.node = el("div", { class: "board-scroll" }, this.table);
    /** @type {KeyedRows<ModelLine | {detail: string}, HTMLTableRowElement>} */
    this.rows = new KeyedRows(body, {
      key: (item) => ("detail" in item ? `detail ${item.detail}` : `model ${item.model}`),
      create: (item) => ("detail" in item ? this.#detailRow(item.detail) : this.#create(item)),
      update: (_, item) => ("detail" in item ? undefined : this.#update(item)),
      moves: true,
    });
  }

  /**
   * @param {readonly ModelLine[]} models all of them: the axis is theirs.
   * @param {string} find part of a name; only such are shown.
   * @param {{model: string, node: HTMLElement} | null} open the row that is open, and what stands in it.
   * @returns {number} how many are shown.
   */
  show(models, find, open) {
    this.#open = open;
    this.#scale = axisOf(models);
    this.table.style.setProperty("--grid", grid(this.#scale));
    replace(
      this.axis,
      this.#scale.ticks.map((tick) =>
        el("span", { style: { left: `${(100 * this.#scale(tick)).toFixed(2)}%` } }, number(tick)),
      ),
    );
    const wanted = find.toLocaleLowerCase();
    const shown = models.filter((line) => line.model.toLocaleLowerCase().includes(wanted));
    this.#fill(shown.flatMap((line) => (line.model === open?.model ? [line, { detail: line.model }] : [line])));
    return shown.length;
  }

  /**
   * What fills a screen at once, the rest a slice at a time: 200 rows are as much work as a hand feels.
   *
   * @param {readonly (ModelLine | {detail: string})[]} items
   */
  #fill(items) {
    clearTimeout(this.#later);
    const there = new Set(items.map((item) => ("detail" in item ? item.detail : item.model)));
    for (const name of this.#parts.keys()) if (!there.has(name)) this.#parts.delete(name);
    let missing = 0;
    const end = items.findIndex((item) => !("detail" in item) && !this.#parts.has(item.model) && (missing += 1) > SLICE);
    this.rows.show(end < 0 ? items : items.slice(0, end));
    if (end >= 0) this.#later = setTimeout(() => this.#fill(items));
  }

  /** @param {ModelLine} line @returns {HTMLTableRowElement} */
  #create({ model }) {
    const chevron = svg("svg", { class: "chevron", viewBox: "0 0 12 12", "aria-hidden": "true" }, svg("path", { d: "M4.5 2.5 8 6l-3.5 3.5" }));
    /** @type {Omit<Parts, "row">} */
    const parts = {
      place: el("span", { class: "board-place-number" }),
      ranks: el("span", { class: "board-ranks" }),
      button: el(
        "button",
        { class: "board-name", type: "button", "aria-expanded": "false", on: { click: () => this.onToggle(model) } },
        chevron,
        el("span", { title: model }, model),
      ),
      whisker: whisker(),
      why: el("span", { class: "board-why" }),
      rating: el("span", { class: "board-rating-number" }),
      ends: el("span", { class: "board-ends" }),
      battles: el("span"),
      votes: el("span"),
    };
    /** @param {string} kind @param {...Node} children */
    const cell = (kind, ...children) => el("td", { role: "cell", class: `board-${kind}` }, children);
    const row = el(
      "tr",
      { role: "row", class: "board-row" },
      cell("place", parts.place, parts.ranks),
      el("th", { scope: "row", role: "rowheader", class: "board-model" }, parts.button),
      cell("chart", parts.whisker, parts.why),
      cell("rating", parts.rating, parts.ends),
      cell("battles", parts.battles),
      cell("votes", parts.votes),
    );
    this.#parts.set(model, { row, ...parts });
    return row;
  }

  /** @param {ModelLine} line */
  #update(line) {
    const parts = this.#parts.get(line.model);
    if (!parts) return;
    const open = this.#open?.model === line.model;
    setText(parts.place, String(line.place));
    setText(parts.ranks, ranks(line));
    setAttributes(parts.button, { "aria-expanded": String(open), "aria-controls": open ? detailId : null });
    parts.row.classList.toggle("open", open);
    parts.whisker.update({ value: line.rating, low: line.lower, high: line.upper, scale: this.#scale });
    setText(parts.why, line.why_no_interval ? `No interval: ${line.why_no_interval}` : "");
    setText(parts.rating, number(line.rating));
    setText(parts.ends, line.lower === null ? "" : range(line.lower, line.upper));
    parts.rating.title = interval(line.rating, line.lower, line.upper, 1);
    setText(parts.battles, number(line.battles));
    setText(parts.votes, number(line.votes));
  }

  /** @param {string} model @returns {HTMLTableRowElement} */
  #detailRow(model) {
    const inside = el("td", { role: "cell", colspan: COLUMNS }, this.#open?.model === model ? this.#open.node : null);
    return el("tr", { role: "row", class: "board-detail", id: detailId }, inside);
  }
}

const detailId = "board-detail";

/** The ranks that the data allow; nothing where only one does. @param {ModelLine} line */
function ranks({ rank_low: low, rank_high: high }) {
  if (low === null || high === null) return "";
  return low === high ? `${low}` : `${low}–${high}`;
}

/** An axis for all. @param {readonly ModelLine[]} models @returns {Scale} */
function axisOf(models) {
  const halves = models.flatMap(({ lower, upper }) => (lower === null || upper === null ? [] : [(upper - lower) / 2]));
  halves.sort((a, b) => a - b);
  const most = WILD * (halves[Math.floor(halves.length / 2)] ?? 0);
  const ends = models.flatMap(({ rating, lower, upper }) => {
    if (rating === null) return [];
    if (lower === null || upper === null) return [rating];
    return [Math.max(lower, rating - most), Math.min(upper, rating + most)];
  });
  return linear(ends, { about: 8, pad: 0.03, least: 40, include: ends.length ? [] : [900, 1100] });
}
