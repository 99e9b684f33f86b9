/** What came last, bounded: verdicts, inputs that became dead letters, and how many there was no room to tell of. */

/** @typedef {import("../types.d.ts").Verdict} Verdict */
/** @typedef {import("../types.d.ts").NewDeadLetter} NewDeadLetter */

/**
 * @typedef {{kind: "verdict", key: string, verdict: Verdict}} VerdictItem
 * @typedef {{kind: "dead", key: string, letter: NewDeadLetter}} DeadItem
 * @typedef {{kind: "skipped", key: string, count: number}} SkippedItem
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
    /** @type {Item[]} */
    const items = verdicts.map(itemOf);
    if (skipped > 0) items.unshift({ kind: "skipped", key: `skipped ${(this.#skips += 1)}`, count: skipped });
    return this.#add(items);
  }

  /** @param {readonly NewDeadLetter[]} letters newest last. */
  takeDeadLetters(letters) {
    return this.#add(letters.map((letter) => ({ kind: "dead", key: `dead ${spot(letter)} ${letter.at}`, letter })));
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
