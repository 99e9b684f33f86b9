/** Parts that every view is made of: cards, tables, notes, switches, empty states. */

import { url } from "./api.js";
import { el, KeyedRows, replace } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

/**
 * A part of a view with a heading.
 *
 * @param {string} title
 * @param {{lead?: Child, actions?: Child[], class?: string, level?: 2 | 3}} options `lead`: a sentence under the heading.
 * @param {...(Child | Child[])} children
 */
export function card(title, { lead = null, actions = [], class: kind = "", level = 2 } = {}, ...children) {
  return el(
    "section",
    { class: `card ${kind}`.trim() },
    el(
      "header",
      { class: "card-head" },
      el("div", null, el(`h${level}`, { class: "card-title" }, title), lead && el("p", { class: "card-lead" }, lead)),
      actions.length > 0 && el("div", { class: "card-actions" }, actions),
    ),
    ...children,
  );
}

/**
 * A table of the API as CSV, by the query that is shown.
 *
 * @param {string} table such as `models`.
 * @param {import("./api.js").Query} [query]
 * @param {string} [what] told to a screen reader.
 */
export function csvLink(table, query = {}, what = table) {
  const address = url(`tables/${table}.csv`, query);
  return el("a", { class: "csv", href: address, download: `${table}.csv`, "aria-label": `Download ${what} as CSV` }, "CSV");
}

/**
 * Show a link to a CSV in a place of its own; made anew only where it leads elsewhere, so that it keeps the focus.
 *
 * @param {HTMLElement} place
 * @param {string} table
 * @param {import("./api.js").Query} query
 * @param {string} [what]
 */
export function showCsv(place, table, query, what) {
  const address = url(`tables/${table}.csv`, query);
  if (place.dataset.address === address) return;
  place.dataset.address = address;
  replace(place, csvLink(table, query, what));
}

/**
 * @template Row
 * @typedef {{
 *   label: string,
 *   cell: (row: Row) => Child | Child[],
 *   numeric?: boolean,
 *   wide?: boolean,
 *   header?: boolean,
 *   hint?: string,
 * }} Column `numeric`: right-aligned, digits of one width; `wide`: not on a phone; `header`: names the row; `hint`: what the
 * column is, in a sentence.
 */

/**
 * A table whose rows are kept by their key, so that what is focused or selected stays while numbers change.
 *
 * @template Row
 */
export class DataTable {
  /**
   * @param {{
   *   caption: string,
   *   columns: Column<Row>[],
   *   key: (row: Row) => string,
   *   showCaption?: boolean,
   *   moves?: boolean,
   *   still?: boolean,
   * }} what `caption` is read out, and seen with `showCaption`; `still`: a row whose data stay is not drawn again, so that
   *   links and buttons in it keep the focus.
   */
  constructor({ caption, columns, key, showCaption = false, moves = false, still = false }) {
    this.columns = columns;
    /** @type {WeakMap<HTMLTableRowElement, string>} */
    const drawn = new WeakMap();
    const body = el("tbody");
    const head = columns.map(({ label, numeric, wide, hint }) =>
      el("th", { scope: "col", class: classes(numeric && "numeric", wide && "wide"), title: hint }, label),
    );
    /** @type {KeyedRows<Row, HTMLTableRowElement>} */
    this.rows = new KeyedRows(body, {
      key,
      moves,
      create: () => el("tr"),
      update: (line, row) => {
        const told = still ? JSON.stringify(row) : "";
        if (still && drawn.get(line) === told) return;
        drawn.set(line, told);
        replace(line, this.#cells(row));
      },
    });
    this.node = el(
      "div",
      { class: "table-scroll", role: "region", "aria-label": caption, tabindex: 0 },
      el(
        "table",
        { class: "table" },
        el("caption", { class: showCaption ? "" : "visually-hidden" }, caption),
        el("thead", null, el("tr", null, head)),
        body,
      ),
    );
  }

  /** @param {readonly Row[]} rows */
  show(rows) {
    this.rows.show(rows);
  }

  /** @param {Row} row */
  #cells(row) {
    return this.columns.map(({ cell, numeric, wide, header }) => {
      const props = { class: classes(numeric && "numeric", wide && "wide") };
      return header ? el("th", { ...props, scope: "row" }, cell(row)) : el("td", props, cell(row));
    });
  }
}

/** @param {...(string | false | undefined)} names @returns {string | undefined} */
export function classes(...names) {
  return names.filter(Boolean).join(" ") || undefined;
}

/**
 * What a reader has to know.
 *
 * @param {Child | Child[]} text
 * @param {"info" | "warning"} [kind]
 */
export function note(text, kind = "info") {
  return el(
    "p",
    { class: "note", "data-kind": kind },
    el("span", { class: "note-mark", "aria-hidden": "true" }, kind === "warning" ? "!" : "i"),
    el("span", null, kind === "warning" && el("span", { class: "visually-hidden" }, "Warning: "), text),
  );
}

/**
 * Nothing is there yet: what will stand here, and what to do for it.
 *
 * @param {string} title
 * @param {Child | Child[]} text
 * @param {...string} commands to run.
 */
export function emptyState(title, text, ...commands) {
  return el(
    "div",
    { class: "empty" },
    el("p", { class: "empty-title" }, title),
    el("p", { class: "empty-text" }, text),
    commands.length > 0 && el("pre", { class: "commands", tabindex: 0 }, el("code", null, commands.join("\n"))),
  );
}

/**
 * Put this in a place, once as long as it says the same: what is focused or selected there stays.
 *
 * @param {HTMLElement} place
 * @param {string} same what it says.
 * @param {() => Child | Child[]} make
 */
export function settle(place, same, make) {
  if (place.dataset.settled === same) return;
  place.dataset.settled = same;
  replace(place, make());
}

/** Why something could not be shown. @param {unknown} error */
export function failure(error) {
  return note(error instanceof Error ? error.message : String(error), "warning");
}

/** While the first numbers are on their way: room for them, so that nothing jumps. @param {number} [lines] */
export function skeleton(lines = 6) {
  return el(
    "div",
    { class: "skeleton", "aria-hidden": "true" },
    Array.from({ length: lines }, () => el("span")),
  );
}

/**
 * A figure with its name, such as a latency; `detail` says how sure or of what.
 *
 * @param {string} label
 * @param {Child} value
 * @param {Child} [detail]
 */
export function figure(label, value, detail = null) {
  return el(
    "div",
    { class: "figure" },
    el("dt", null, label),
    el("dd", null, el("span", { class: "figure-value" }, value), detail && el("span", { class: "figure-detail" }, detail)),
  );
}

/** Figures side by side. @param {...HTMLElement} items */
export function figures(...items) {
  return el("dl", { class: "figures" }, items);
}

let nextId = 0;
/** An id that nothing else has. @param {string} prefix */
export function uniqueId(prefix) {
  nextId += 1;
  return `${prefix}-${nextId}`;
}

/**
 * One of a few, as radio buttons side by side.
 *
 * The buttons stand in a form of their own, to which the group belongs and with which it goes: groups of the document
 * stay in Chromium, one for each name that there ever was, for as long as the page is open.
 *
 * @template {string} Value
 * @param {string} legend
 * @param {readonly (readonly [Value, string])[]} choices value and words.
 * @param {(value: Value) => void} onChange
 * @returns {{node: HTMLElement, set: (value: Value) => void}}
 */
export function segmented(legend, choices, onChange) {
  const id = uniqueId("choice");
  const inputs = choices.map(([value]) =>
    el("input", { type: "radio", name: "choice", value, id: `${id}-${value}`, on: { change: () => onChange(value) } }),
  );
  const node = el(
    "fieldset",
    { class: "segmented" },
    el("legend", null, legend),
    el(
      "form",
      { class: "segments", on: { submit: (event) => event.preventDefault() } },
      choices.flatMap(([value, words], place) => [inputs[place] ?? null, el("label", { for: `${id}-${value}` }, words)]),
    ),
  );
  return {
    node,
    set: (value) => {
      for (const input of inputs) input.checked = input.value === value;
    },
  };
}

/**
 * A switch that is on or off.
 *
 * @param {string} label
 * @param {(on: boolean) => void} onChange
 * @returns {{node: HTMLElement, set: (on: boolean) => void}}
 */
export function toggle(label, onChange) {
  const input = el("input", {
    type: "checkbox",
    role: "switch",
    on: { change: () => onChange(input.checked) },
  });
  const node = el("label", { class: "toggle" }, input, el("span", { class: "toggle-track", "aria-hidden": "true" }), label);
  return { node, set: (on) => void (input.checked = on) };
}

/** A small mark, such as a reason or a language. @param {Child} text @param {string} [kind] */
export function tag(text, kind = "plain") {
  return el("span", { class: "tag", "data-kind": kind }, text);
}
