/** The last few verdicts, calmly: at most one change in a while. */

import { outcomeBar } from "../charts/outcome-bar.js";
import { el, KeyedRows, setText } from "../dom.js";
import { ago } from "../format.js";

/** @typedef {import("../types.js").Verdict} Verdict */

const SHOWN = 3;
/** Who reads names and a bar needs that long. */
const CALM_MS = 2500;
const TICK_MS = 5000;

export class Strip {
  /** @type {Verdict[]} */
  #waiting = [];
  /** @type {Verdict[]} */
  #shown = [];
  #changedAt = 0;
  /** @type {number | undefined} */
  #later;

  /** @param {AbortSignal} signal ends with the view. */
  constructor(signal) {
    const list = el("ol", { class: "strip-list", reversed: true });
    this.node = el(
      "section",
      { class: "strip", "aria-label": "Just judged", hidden: true },
      el("div", { class: "strip-head" }, el("h2", null, "Just judged"), el("a", { href: "#verdicts" }, "All verdicts")),
      list,
    );
    /** @type {KeyedRows<Verdict, HTMLElement>} */
    this.rows = new KeyedRows(list, { key: (one) => one.event, create, update: showAge });
    const tick = setInterval(() => this.#shown.forEach((one) => this.#age(one)), TICK_MS);
    signal.addEventListener("abort", () => {
      clearInterval(tick);
      clearTimeout(this.#later);
    });
  }

  /** @param {readonly Verdict[]} verdicts newest last. */
  add(verdicts) {
    this.#waiting = [...this.#waiting, ...verdicts].slice(-SHOWN);
    const wait = this.#changedAt + CALM_MS - performance.now();
    clearTimeout(this.#later);
    if (wait <= 0) this.#change();
    else this.#later = setTimeout(() => this.#change(), wait);
  }

  #change() {
    if (this.#waiting.length === 0) return;
    this.#shown = [...this.#shown, ...this.#waiting].slice(-SHOWN);
    this.#waiting = [];
    this.#changedAt = performance.now();
    this.node.hidden = false;
    this.rows.show([...this.#shown].reverse());
  }

  /** @param {Verdict} verdict */
  #age(verdict) {
    const row = this.rows.rows.get(verdict.event);
    if (row) showAge(row, verdict);
  }
}

/** @param {Verdict} verdict @returns {HTMLElement} */
function create({ model_a, model_b, probabilities }) {
  return el(
    "li",
    { class: "strip-item" },
    el(
      "p",
      { class: "strip-names" },
      el("span", null, model_a ?? "A"),
      el("time", { class: "strip-age" }),
      el("span", null, model_b ?? "B"),
    ),
    outcomeBar(probabilities, { model_a, model_b }),
  );
}

/** @param {HTMLElement} row @param {Verdict} verdict */
function showAge(row, { published_at: at }) {
  const age = row.querySelector(".strip-age");
  if (age) setText(age, ago(at));
}
