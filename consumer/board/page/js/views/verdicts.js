/** Battles as they are judged, the newest first, and each judge's opinion. */

import { emptyState, failure, skeleton } from "../components.js";
import { outcomeLegend } from "../charts/outcome-bar.js";
import { el, KeyedRows, replace, setText } from "../dom.js";
import { ago, number, plural } from "../format.js";
import { Feed, matches, SHOWN } from "../verdicts/feed.js";
import { row } from "../verdicts/row.js";
import { isAbort } from "../api.js";

/** @typedef {import("../context.js").Context} Context */
/** @typedef {import("../types.js").Verdicts} Verdicts */
/** @typedef {import("../types.js").VerdictsEvent} VerdictsEvent */
/** @typedef {import("../types.js").NewDeadLetters} NewDeadLetters */
/** @typedef {import("../verdicts/feed.js").Item} Item */

export const title = "Verdicts";

/** Asked for at the beginning: some more than are shown, so that a filter finds some. */
const FIRST = 100;

/** How often ages are told anew. */
const AGE_MS = 5000;

/** So long after the pointer's last move over the list it stays as it is. */
const READING_MS = 4000;

/** Pixels of the list that may be scrolled away while it still moves. */
const SCROLLED = 40;

/** @type {LiveList | null} */
let shown = null;

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  shown = new LiveList(root, context);
}

/** @param {Record<string, string>} query */
export function update(query) {
  shown?.filter(query.model ?? "");
}

export function unmount() {
  shown = null;
}

/**
 * The list. Nothing in it moves while somebody reads it: it is held while it is paused, scrolled, pointed at, focused, or a
 * verdict is open; what comes meanwhile is counted, and shown at the end of it or when asked for.
 */
class LiveList {
  #feed = new Feed();
  #model;
  #waiting = 0;
  #paused = false;
  #begun = false;
  /** @type {number | undefined} */
  #reading;

  /** @param {HTMLElement} root @param {Context} context */
  constructor(root, context) {
    this.context = context;
    this.#model = context.query.model ?? "";
    this.pause = el("button", { class: "button", type: "button", "aria-pressed": "false", on: { click: () => this.#setPaused(!this.#paused) } }, "Pause");
    this.fresh = el("button", { class: "button fresh", type: "button", hidden: true, on: { click: () => this.#catchUp() } });
    this.state = el("span", { class: "verdicts-state" });
    this.names = el("datalist", { id: "verdict-models" });
    this.search = el("input", {
      type: "search", id: "verdict-filter", class: "input", list: "verdict-models", value: this.#model, placeholder: "any model",
      autocomplete: "off", spellcheck: "false",
      on: { input: () => context.go({ model: this.search.value.trim() || undefined }, { replace: true }) },
    });
    this.list = el("ol", { class: "verdicts", "aria-label": "Verdicts, the newest first" });
    this.below = el("div", { class: "verdicts-below" }, skeleton(8));
    /** @type {KeyedRows<Item, HTMLLIElement>} */
    this.rows = new KeyedRows(this.list, { key: ({ key }) => key, create: (item) => row(item, context), moves: true });
    replace(
      root,
      el(
        "header",
        { class: "view-head" },
        el("div", null, el("h1", { class: "view-title" }, title), el("p", { class: "view-lead" }, "Battles as they are judged, the newest first. Open one for each judge's opinion.")),
        outcomeLegend(),
      ),
      el(
        "div",
        { class: "verdicts-bar" },
        el("div", { class: "field" }, el("label", { for: "verdict-filter" }, "Model"), this.search, this.names),
        el("div", { class: "verdicts-control" }, this.state, this.fresh, this.pause),
      ),
      this.list,
      this.below,
    );
    this.#watchReader();
    this.#listen();
    void this.#begin();
  }

  /** Show those of some models. @param {string} model a part of the name; empty: all. */
  filter(model) {
    if (model === this.#model) return;
    this.#model = model;
    if (this.search.value.trim() !== model) this.search.value = model;
    this.#show();
  }

  async #begin() {
    const { api, signal } = this.context;
    try {
      /** @type {Verdicts} */
      const told = await api.get("verdicts", { limit: FIRST }, { signal });
      this.#feed.begin(told.verdicts);
      this.#begun = true;
      this.#show();
    } catch (error) {
      if (!isAbort(error)) replace(this.below, failure(error));
    }
  }

  #listen() {
    const { events, signal } = this.context;
    events.on("verdicts", (/** @type {VerdictsEvent} */ told) => this.#came(this.#feed.take(told.verdicts, told.skipped)), { signal });
    events.on("dead_letters", (/** @type {NewDeadLetters} */ told) => this.#came(this.#feed.takeDeadLetters(told.dead_letters, told.skipped)), { signal });
    events.on("connection", (connection) => void (connection === "live" && !this.#begun && this.#begin()), { signal });
    const ages = setInterval(() => this.#age(), AGE_MS);
    signal.addEventListener("abort", () => {
      clearInterval(ages);
      clearTimeout(this.#reading);
    }, { once: true });
  }

  #watchReader() {
    const { signal } = this.context;
    this.list.addEventListener("pointermove", () => this.#read());
    this.list.addEventListener("pointerleave", () => this.#read(0));
    this.list.addEventListener("focusin", () => this.#tellState());
    this.list.addEventListener("focusout", () => this.#read(0));
    this.list.addEventListener("toggle", () => this.#read(0), { capture: true }); // it does not bubble
    addEventListener("scroll", () => this.#released(), { passive: true, signal });
  }

  /** Somebody points at the list. @param {number} [ms] for so long it stays as it is. */
  #read(ms = READING_MS) {
    clearTimeout(this.#reading);
    this.#reading = setTimeout(() => {
      this.#reading = undefined;
      this.#released();
    }, ms);
    this.#tellState();
  }

  /** Why the list stays as it is; empty: it moves. */
  get #held() {
    if (this.#paused) return "Paused";
    if (this.list.getBoundingClientRect().top < -SCROLLED) return "Held while you are further down";
    const reading = this.#reading !== undefined || this.list.contains(document.activeElement) || this.list.querySelector("details[open]");
    return reading ? "Held while you read" : "";
  }

  #released() {
    if (!this.#held && this.#waiting > 0) this.#show();
    else this.#tellState();
  }

  /** @param {readonly Item[]} items */
  #came(items) {
    for (const item of items) {
      if (matches(item, this.#model)) this.#waiting += item.kind === "skipped" ? item.count : 1;
    }
    if (this.#held || !this.#begun) this.#tellState();
    else this.#show();
  }

  /** @param {boolean} paused */
  #setPaused(paused) {
    this.#paused = paused;
    this.pause.setAttribute("aria-pressed", String(paused));
    setText(this.pause, paused ? "Go on" : "Pause");
    if (paused) this.#tellState();
    else this.#catchUp();
  }

  /** Show what came meanwhile, whatever held the list. */
  #catchUp() {
    this.#show();
    if (this.list.getBoundingClientRect().top < 0) scrollTo({ top: 0 });
    this.pause.focus({ preventScroll: true }); // the button that was pressed may be gone
  }

  #show() {
    this.#waiting = 0;
    const items = this.#feed.shown(this.#model);
    this.rows.show(items);
    const models = this.#feed.models;
    if (models.length !== this.names.childElementCount) replace(this.names, models.map((name) => el("option", { value: name })));
    this.#age();
    this.#tellState();
    replace(this.below, items.length > 0 ? this.#end(items.length) : this.#begun ? this.#nothing() : skeleton(8));
  }

  /** @param {number} count */
  #end(count) {
    if (count < SHOWN) return null;
    return el("p", { class: "verdicts-end" }, `The newest ${SHOWN} are shown. All of them stand on the topic of preferences.`);
  }

  #nothing() {
    if (this.#model) {
      const all = () => {
        this.context.go({ model: undefined }, { replace: true });
        this.search.focus();
      };
      return el(
        "div",
        { class: "empty" },
        el("p", { class: "empty-title" }, `None of the last ${plural(this.#feed.size, "verdict")} is of a model with this in its name`),
        el("button", { class: "button", type: "button", on: { click: all } }, "Show all"),
      );
    }
    return emptyState(
      "No battle has been judged yet",
      "Verdicts appear here by themselves as soon as the stream publishes preferences. Start it, or look at a demo:",
      "prefstream run --panel panel.yaml",
      "prefstream demo",
    );
  }

  #tellState() {
    const held = this.#held;
    setText(this.state, held);
    this.fresh.hidden = this.#waiting === 0 || !held;
    setText(this.fresh, `${number(this.#waiting)} new`);
    this.fresh.setAttribute("aria-label", `Show ${plural(this.#waiting, "new verdict")}`);
  }

  #age() {
    const now = Date.now();
    for (const time of this.list.querySelectorAll("time.verdict-age")) setText(time, ago(/** @type {HTMLTimeElement} */ (time).dateTime, now));
  }
}
