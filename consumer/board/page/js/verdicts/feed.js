/** What came last, bounded: verdicts, inputs that became dead letters, and how many there was no room to tell of. */

/** @typedef {import("../types.js").Verdict} Verdict */
/** @typedef {import("../types.js").NewDeadLetter} NewDeadLetter */

/**
 * @typedef {{kind: "verdict", key: string, verdict: Verdict}} VerdictItem
 * @typedef {{kind: "dead", key: string, letter: NewDeadLetter}} DeadItem
 * @typedef {{kind: "skipped", key: string, count: number, what: string}} SkippedItem
 * @typedef {VerdictItem | DeadItem | SkippedItem} Item
 */

/** Kept, so that a filter by model finds some; the oldest go first. */
export const KEPT = 200;

/** Shown at a time: more is a flood that nobody reads. */
export const SHOWN = 60;

export class Feed {
  /** The newest first. @type {Item[]} */
  #items = [];
  #skips = 0;

  /** What is there at the beginning, beside what has come meanwhile. @param {readonly Verdict[]} verdicts newest last. */
  begin(verdicts) {
    this.#add(verdicts.map(itemOf));
    this.#items.sort((one, other) => place(other) - place(one));
  }

  /**
   * What came.
   *
   * @param {readonly Verdict[]} verdicts newest last.
   * @param {number} skipped came before them, and are not told.
   * @returns {Item[]} those that are new.
   */
  take(verdicts, skipped) {
    return this.#add([...this.#skipped(skipped, "verdict"), ...verdicts.map(itemOf)]);
  }

  /**
   * Inputs that became dead letters.
   *
   * @param {readonly NewDeadLetter[]} letters newest last.
   * @param {number} skipped came before them, and are not told.
   * @returns {Item[]} those that are new.
   */
  takeDeadLetters(letters, skipped) {
    /** @type {Item[]} */
    const items = letters.map((letter) => ({ kind: "dead", key: `dead ${spot(letter)} ${letter.at}`, letter }));
    return this.#add([...this.#skipped(skipped, "dead letter"), ...items]);
  }

  /** Those to show, newest first. @param {string} model a part of a model's name; empty: all. */
  shown(model) {
    return this.#items.filter((item) => matches(item, model)).slice(0, SHOWN);
  }

  /** How many verdicts are kept. */
  get size() {
    return this.#items.filter(({ kind }) => kind === "verdict").length;
  }

  /** Names of the models in them, in order. */
  get models() {
    const names = this.#items.flatMap((item) => (item.kind === "verdict" ? [item.verdict.model_a, item.verdict.model_b] : []));
    return [...new Set(names.filter((name) => name !== null))].sort();
  }

  /** @param {number} count @param {string} what @returns {Item[]} */
  #skipped(count, what) {
    if (count === 0) return [];
    this.#skips += 1;
    return [{ kind: "skipped", key: `skipped ${this.#skips}`, count, what }];
  }

  /** @param {Item[]} items newest last. */
  #add(items) {
    const there = new Set(this.#items.map(({ key }) => key));
    const fresh = items.filter(({ key }) => !there.has(key));
    this.#items = [...fresh.toReversed(), ...this.#items].slice(0, KEPT);
    return fresh;
  }
}

/** @param {Item} item @param {string} model */
export function matches(item, model) {
  if (!model) return true;
  if (item.kind !== "verdict") return false;
  const part = model.toLowerCase();
  return [item.verdict.model_a, item.verdict.model_b].some((name) => name?.toLowerCase().includes(part));
}

/** Where a record stands: `battles/3/1204`. @param {{topic: string, partition: number, offset: number}} record */
export function spot({ topic, partition, offset }) {
  return `${topic}/${partition}/${offset}`;
}

/** @param {Verdict} verdict @returns {VerdictItem} */
const itemOf = (verdict) => ({ kind: "verdict", key: verdict.event, verdict });

/** By it the newest stand first; what has no place of its own has just come. @param {Item} item */
const place = (item) => (item.kind === "verdict" ? Number(item.key.split("-").at(-1)) : Infinity);
