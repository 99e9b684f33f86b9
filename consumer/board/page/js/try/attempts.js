/**
 * The battles that were sent from this page, and what comes back of them: by events, and by asking where events leave some
 * out. It lives as long as the page, whatever view is shown.
 */

import * as api from "../api.js";
import { Attempt } from "./attempt.js";

/**
 * @typedef {import("../events.js").Events} Events
 * @typedef {import("../types.js").Verdict} Verdict
 * @typedef {import("../types.js").Verdicts} Verdicts
 * @typedef {import("./attempt.js").Draft} Draft
 * @typedef {import("./attempt.js").Source} Source
 */

/** Older ones go: a page that stays open does not grow. */
const MOST = 20;

/** Between two questions for verdicts that events may have left out: of a topic so busy, the next ones come at once. */
const ASK_MS = 1_000;

/** And where nothing says that one was left out. */
const ASK_ANYWAY_MS = 3_000;

/** For an answer, which takes milliseconds; some never come, through a proxy whose board hangs. */
const ANSWER_MS = 30_000;

/** Verdicts and dead letters that came before the answer to what was sent: a quick stream is there first. */
const MOST_EARLY = 100;

/** A battle of which nobody knows whether it was written is told with its id, in words. */
const ID = /\btry-[0-9a-f]{16}\b/;

export class Attempts {
  /** The newest first. @type {Attempt[]} */
  all = [];
  #count = 0;
  /** @type {Verdict[]} */
  #early = [];
  /** @type {(Source & {reason: string})[]} */
  #earlyDead = [];
  #askedAt = -Infinity;
  /** @type {number | undefined} */
  #asking;
  #underWay = false;

  /** @param {Events} events @param {(attempt: Attempt) => void} onChange one of them changed. */
  constructor(events, onChange) {
    this.onChange = onChange;
    events.on("verdicts", ({ verdicts, skipped }) => {
      this.#came(verdicts);
      if (skipped > 0) this.#ask();
    });
    events.on("dead_letters", ({ dead_letters: letters }) => this.#died(letters));
    events.on("connection", (connection) => void (connection === "live" && this.#ask()));
  }

  /** Whether something may still come. */
  get pending() {
    return this.all.some((attempt) => attempt.pending);
  }

  /**
   * Send a battle; ends when it is written, or is not.
   *
   * @param {Draft} draft
   * @returns {Promise<Attempt>}
   */
  async send(draft) {
    this.#count += 1;
    const attempt = new Attempt(this.#count, draft);
    this.all = [attempt, ...this.all].slice(0, MOST);
    this.onChange(attempt);
    try {
      /** @type {{id: string, source: Source | null} | null} */
      const sent = await api.post("battles", draft);
      if (sent) attempt.written(sent.id, sent.source);
      else attempt.refuse("the board said nothing of it");
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const id = error instanceof api.ApiError && error.status === 503 ? ID.exec(why)?.[0] : undefined;
      if (id) attempt.lost(id, why);
      else attempt.refuse(why);
    }
    this.onChange(attempt);
    if (attempt.pending) {
      this.#came(this.#early);
      this.#died(this.#earlyDead);
      if (attempt.pending) this.#ask();
    }
    return attempt;
  }

  /** @param {readonly Verdict[]} verdicts */
  #came(verdicts) {
    if (!this.pending) return;
    this.#early = this.#early === verdicts ? this.#early : [...this.#early, ...verdicts].slice(-MOST_EARLY);
    for (const verdict of verdicts) this.all.filter((attempt) => attempt.take(verdict)).forEach(this.onChange);
    this.#forget();
  }

  /** @param {readonly (Source & {reason: string})[]} letters */
  #died(letters) {
    if (!this.pending) return;
    this.#earlyDead = this.#earlyDead === letters ? this.#earlyDead : [...this.#earlyDead, ...letters].slice(-MOST_EARLY);
    for (const letter of letters) this.all.filter((attempt) => attempt.takeDeadLetter(letter)).forEach(this.onChange);
    this.#forget();
  }

  #forget() {
    if (!this.all.some((attempt) => attempt.state === "sending")) this.#early = this.#earlyDead = [];
  }

  /** Ask for the verdicts of what is pending, not too often, as long as something is. */
  #ask() {
    if (this.#underWay) return; // it asks again by itself
    const due = this.#askedAt + ASK_MS - performance.now();
    clearTimeout(this.#asking);
    this.#asking = this.pending ? setTimeout(() => void this.#askNow(), Math.max(0, due)) : undefined;
  }

  async #askNow() {
    this.#askedAt = performance.now();
    this.#underWay = true; // a board that takes long is not asked again meanwhile
    for (const { id, pending } of this.all) {
      if (!pending || id === null) continue;
      try {
        /** @type {Verdicts} */
        const { verdicts } = await api.get("verdicts", { id }, { signal: AbortSignal.timeout(ANSWER_MS) });
        this.#came(verdicts);
      } catch {
        // events go on, and so does the next question
      }
    }
    this.#underWay = false;
    this.#asking = this.pending ? setTimeout(() => void this.#askNow(), ASK_ANYWAY_MS) : undefined;
  }
}
