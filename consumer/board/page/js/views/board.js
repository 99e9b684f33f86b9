/** Who leads, and how sure that is. */

import { boardQuery, Controls } from "../board/controls.js";
import { Detail } from "../board/detail.js";
import { basis, explanation, headline } from "../board/headline.js";
import { Matrix } from "../board/matrix.js";
import { Strip } from "../board/strip.js";
import { StyleCard } from "../board/style.js";
import { ModelTable } from "../board/table.js";
import { Ties } from "../board/ties.js";
import { card, emptyState, failure, note, showCsv, skeleton } from "../components.js";
import { el, replace, setText } from "../dom.js";
import { moment, plural } from "../format.js";

/**
 * @typedef {import("../context.js").Context} Context
 * @typedef {import("../context.js").ViewQuery} ViewQuery
 * @typedef {import("../types.js").StrengthTable} StrengthTable
 * @typedef {import("../types.js").WinRates} WinRates
 * @typedef {import("../types.js").TieTable} TieTable
 * @typedef {import("../types.js").TimeSlices} TimeSlices
 * @typedef {import("../types.js").LanguageTables} LanguageTables
 * @typedef {import("../types.js").BoardStatus} BoardStatus
 * @typedef {import("../types.js").Verdicts} Verdicts
 */

export const title = "Board";

/** Languages come and go slowly. Their names alone are wanted, so by the method that takes least to compute. */
const LANGUAGES_EVERY_MS = 60_000;

/** Who jumps to the end of the page has passed what is asked for when it comes near, and is to see it above, too. */
const PASSED = "1000000px";

/** Of what went otherwise than it should, the newest. */
const MOST_NOTES = 5;

/** @type {Board | null} */
let shown = null;

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  shown = new Board(root, context);
}

/** @param {ViewQuery} query */
export function update(query) {
  shown?.follow(query);
}

export function unmount() {
  shown = null;
}

class Board {
  /** @type {ViewQuery} */
  #query = {};
  /** @type {StrengthTable | null} */
  #table = null;
  /** Win rates, and what they are of: other switches, other rates. @type {{rates: WinRates, of: string} | null} */
  #pairs = null;
  /** @type {Detail | null} */
  #detail = null;
  /** @type {"hour" | "day"} */
  #step = "day";
  #asked = new AbortController();
  #languagesAt = -Infinity;
  #matrixWatched = false;
  #matrixSeen = false;
  #loading = false;
  #again = false;

  /** @param {HTMLElement} root @param {Context} context */
  constructor(root, context) {
    this.context = context;
    this.title = el("h1", { class: "view-title" }, "The board");
    this.lead = el("p", { class: "view-lead" });
    this.basis = el("p", { class: "board-basis" });
    this.strip = new Strip(context.signal);
    this.controls = new Controls((change, options) => context.go(change, options));
    this.explanation = el("p", { class: "board-explanation" });
    this.models = new ModelTable((model) => this.#toggle(model));
    this.csv = el("span");
    this.count = el("p", { class: "quiet", role: "status" });
    this.notes = el("div", { class: "notes" });
    this.fault = el("div");
    this.place = el("div", null, skeleton(10));
    this.style = new StyleCard();
    this.matrix = new Matrix();
    this.ties = new Ties();
    this.boardNotes = el("div");
    this.style.node.hidden = this.matrix.node.hidden = this.ties.node.hidden = true;
    this.card = card("Models", { lead: this.explanation, actions: [this.csv] }, this.controls.node, this.fault, this.place, this.count, this.notes);
    this.below = el("div", { class: "columns" }, this.style.node, this.ties.node);
    replace(
      root,
      el("div", { class: "board-hero" }, el("div", null, this.title, this.lead, this.basis), this.strip.node),
      this.card,
      this.matrix.node,
      this.below,
      this.boardNotes,
    );
    context.events.on("changed", () => this.#refresh(), { signal: context.signal });
    context.events.on("verdicts", (told) => this.strip.add(told.verdicts), { signal: context.signal });
    context.events.on("status", (/** @type {BoardStatus} */ status) => this.#showStatus(status), { signal: context.signal });
    context.events.on("connection", (state) => void (state === "live" && !this.#loading && this.#refresh()), { signal: context.signal });
    void this.#firstVerdicts();
    this.follow(context.query);
  }

  /** @param {ViewQuery} query */
  follow(query) {
    const before = this.#query;
    this.#query = query;
    this.controls.show(query);
    const { method, style, language, window } = query;
    const same = [method, style, language, window].join("\n") === [before.method, before.style, before.language, before.window].join("\n");
    if (same && this.#table) this.#show();
    if (!same) this.card.setAttribute("aria-busy", "true"); // not where numbers only go on: it would flicker
    if (!same || !this.#table || query.model !== before.model) void this.#load();
  }

  /** What the API is asked, and what a CSV is of. */
  get #asks() {
    return boardQuery(this.#query);
  }

  /** Win rates of what is shown; null where they are of something else. */
  get #ratesOfNow() {
    return this.#pairs?.of === JSON.stringify(this.#asks) ? this.#pairs.rates : null;
  }

  /** Numbers changed: ask again, once what is under way is there; a slow board would else never get to its end. */
  #refresh() {
    if (this.#loading) this.#again = true;
    else void this.#load();
  }

  /** Ask for what the address says, in place of what was asked for before. */
  async #load() {
    this.#asked.abort();
    const asked = (this.#asked = new AbortController());
    this.#loading = true;
    this.#again = false;
    await this.#ask(asked);
    if (asked !== this.#asked || this.context.signal.aborted) return;
    this.#loading = false;
    if (this.#again) void this.#load();
  }

  /** @param {AbortController} asked */
  async #ask(asked) {
    const signal = AbortSignal.any([asked.signal, this.context.signal]);
    const query = this.#asks;
    const { api } = this.context;
    try {
      this.#table = /** @type {StrengthTable} */ (await api.get("models", query, { signal }));
      replace(this.fault);
      this.#show();
      this.card.removeAttribute("aria-busy");
      await this.#loadRest(query, signal);
    } catch (error) {
      if (api.isAbort(error)) return;
      this.card.removeAttribute("aria-busy");
      replace(this.fault, failure(error));
      if (!this.#table) replace(this.place);
      if (!this.#ratesOfNow) this.matrix.node.hidden = true;
    }
  }

  /**
   * What stands below or inside a row: after the table, and only what is to be seen.
   *
   * @param {ReturnType<typeof boardQuery>} query
   * @param {AbortSignal} signal
   */
  async #loadRest(query, signal) {
    const { api } = this.context;
    const model = this.#query.model;
    if (this.#matrixSeen || model) {
      const rates = /** @type {WinRates} */ (await api.get("pairs", query, { signal }));
      this.#pairs = { rates, of: JSON.stringify(query) };
      this.#show();
    }
    if (model && this.#detail?.model === model) {
      const step = this.#step;
      const detail = this.#detail;
      try {
        const slices = /** @type {TimeSlices} */ (await api.get("time", { ...query, step }, { signal }));
        detail.showTime(slices);
      } catch (error) {
        if (api.isAbort(error)) throw error;
        detail.showFault(error);
      }
    }
    const ties = /** @type {TieTable} */ (await api.get("ties", query, { signal }));
    const ratings = new Map(this.#table?.models.map((line) => [line.model, line.rating]));
    this.ties.show(ties, ratings, query);
    if (performance.now() - this.#languagesAt > LANGUAGES_EVERY_MS) {
      this.#languagesAt = performance.now();
      const { languages } = /** @type {LanguageTables} */ (await api.get("languages", { method: "judges" }, { signal: this.context.signal }));
      this.controls.showLanguages(languages.map((one) => one.language));
    }
  }

  #show() {
    const table = this.#table;
    if (!table) return;
    const query = this.#asks;
    const { title: sentenceOfAll, lead } = headline(table);
    setText(this.title, sentenceOfAll);
    setText(this.lead, lead);
    setText(this.basis, basis(table));
    setText(this.explanation, explanation(table));
    showCsv(this.csv, "models", query, "ratings of models");
    this.style.show(table.style);
    const find = this.#query.find ?? "";
    if (table.models.length === 0) {
      this.#showEmpty();
    } else {
      this.#showModels(table, find);
    }
    const rates = this.#ratesOfNow;
    if (rates) this.matrix.show(rates, find, query);
    else if (!this.#matrixSeen) this.matrix.node.hidden = true; // none are asked for until it is near the screen
    const told = table.notes.map(sentence);
    if (this.notes.dataset.told !== told.join("\n")) replace(this.notes, told.map((text) => note(text)));
    this.notes.dataset.told = told.join("\n");
  }

  /** @param {StrengthTable} table @param {string} find */
  #showModels(table, find) {
    const model = table.models.find((line) => line.model === this.#query.model)?.model;
    if (this.#detail?.model !== model) this.#detail = model ? new Detail(model, (step) => this.#setStep(step)) : null;
    const rates = this.#ratesOfNow;
    if (this.#detail && rates?.models.includes(this.#detail.model)) this.#detail.showPairs(rates);
    const open = this.#detail && { model: this.#detail.model, node: this.#detail.node };
    const count = this.models.show(table.models, find, open);
    if (this.models.node.parentElement !== this.place) replace(this.place, this.models.node);
    if (!this.#matrixWatched) this.#watchMatrix(); // once the table is there: before, all is near
    setText(this.count, find ? `${count} of ${plural(table.models.length, "model")} shown` : "");
  }

  #showEmpty() {
    const { window, language } = this.#asks;
    if (window !== "all" || language) {
      replace(this.place, emptyState("No battles here", "Nothing was judged or voted on in this window and language. Choose all time and all languages to see what there is."));
      return;
    }
    const notice = this.context.status()?.notice;
    if (notice) {
      replace(this.place, emptyState("No battles yet", notice));
      return;
    }
    replace(
      this.place,
      emptyState(
        "No battles yet",
        "The board counts preferences that name their models, and votes on these battles. Start the stream, then feed it battles:",
        "prefstream run --panel panel.yaml",
        "prefstream replay battles.jsonl",
        "prefstream replay battles.jsonl --votes",
      ),
    );
  }

  /** @param {string} model */
  #toggle(model) {
    this.context.go({ model: this.#query.model === model ? undefined : model }, { replace: true });
  }

  /** @param {"hour" | "day"} step */
  #setStep(step) {
    this.#step = step;
    void this.#load();
  }

  /** The matrix is asked for when it comes near the screen: of 200 models it is the largest answer. */
  #watchMatrix() {
    this.#matrixWatched = true;
    const mark = el("div", { "aria-hidden": "true" });
    this.card.append(mark);
    const watcher = new IntersectionObserver(
      ([entry]) => {
        if (!entry?.isIntersecting) return;
        this.#matrixSeen = true;
        watcher.disconnect();
        this.#refresh(); // those of a row that was open may be old
      },
      { rootMargin: `${PASSED} 0px 300px 0px` },
    );
    watcher.observe(mark);
    this.context.signal.addEventListener("abort", () => watcher.disconnect());
  }

  async #firstVerdicts() {
    try {
      const { verdicts } = /** @type {Verdicts} */ (await this.context.api.get("verdicts", { limit: 3 }, { signal: this.context.signal }));
      this.strip.add(verdicts);
    } catch {
      // the strip stays away until one comes
    }
  }

  /** @param {BoardStatus} status */
  #showStatus(status) {
    this.#showNotes(status);
    if (this.#table?.models.length === 0) this.#showEmpty(); // what it tells may be another thing now
  }

  /** @param {BoardStatus} status */
  #showNotes(status) {
    const newest = status.notes.slice(0, MOST_NOTES);
    const text = newest.map((one) => one.at + one.detail).join("\n");
    if (this.boardNotes.dataset.told === text) return;
    this.boardNotes.dataset.told = text;
    replace(
      this.boardNotes,
      newest.length > 0 &&
        card("What went otherwise than it should", {}, el("div", { class: "notes" }, newest.map((one) => note([el("time", { datetime: one.at }, moment(one.at)), `: ${one.detail}`])))),
    );
  }
}

/** @param {string} text */
const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
