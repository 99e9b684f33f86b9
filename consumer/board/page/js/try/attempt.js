/** One battle that was sent, from the click to its verdict. Kept in the page, and nowhere else. */

/**
 * @typedef {import("../types.js").Verdict} Verdict
 * @typedef {{topic: string, partition: number, offset: number}} Source
 * @typedef {{prompt: string, response_a: string, response_b: string}} Draft
 * @typedef {"sending" | "waiting" | "unconfirmed" | "judged" | "dead" | "refused"} State `unconfirmed`: waiting, though nobody
 *   knows whether it was written.
 */

export class Attempt {
  /** @type {State} */
  state = "sending";
  /** @type {string | null} */
  id = null;
  /** @type {Source | null} */
  source = null;
  /** @type {Verdict | null} */
  verdict = null;
  /** Of a dead letter; of what was refused, why. */
  reason = "";
  /** Milliseconds from the click until the brokers had it. @type {number | null} */
  writtenMs = null;
  /** Until its verdict was here. @type {number | null} */
  tookMs = null;

  /** @param {number} number @param {Draft} draft */
  constructor(number, draft) {
    this.number = number;
    this.draft = draft;
    this.begun = performance.now();
  }

  /** Whether something may still come. */
  get pending() {
    return this.state === "sending" || this.state === "waiting" || this.state === "unconfirmed";
  }

  /** Milliseconds since the click, until it ended. */
  get elapsedMs() {
    return this.tookMs ?? performance.now() - this.begun;
  }

  /** The brokers have it. @param {string} id @param {Source | null} source */
  written(id, source) {
    this.writtenMs = performance.now() - this.begun;
    this.id = id;
    this.source = source;
    this.state = "waiting";
  }

  /** Nobody knows whether they have. @param {string} id @param {string} why */
  lost(id, why) {
    this.id = id;
    this.reason = why;
    this.state = "unconfirmed";
  }

  /** @param {string} why */
  refuse(why) {
    this.tookMs = this.elapsedMs;
    this.reason = why;
    this.state = "refused";
  }

  /** @param {Verdict} verdict @returns {boolean} whether it is this one's. */
  take(verdict) {
    if (!this.pending || this.id !== verdict.id) return false;
    this.tookMs = this.elapsedMs;
    this.verdict = verdict;
    this.state = "judged";
    return true;
  }

  /** @param {Source & {reason: string}} letter @returns {boolean} whether it is this one's. */
  takeDeadLetter({ topic, partition, offset, reason }) {
    const at = this.source;
    if (!this.pending || !at || at.topic !== topic || at.partition !== partition || at.offset !== offset) return false;
    this.tookMs = this.elapsedMs;
    this.reason = reason;
    this.state = "dead";
    return true;
  }
}
