/**
 * The page's one stream of server-sent events, and whether it is there.
 *
 * A browser reconnects by itself while the server cuts connections, and gives up for good where it is answered with an
 * error (a proxy's 502 while the board restarts): then it is opened anew here, from the last event on.
 */

import { get, url } from "./api.js";

/** @typedef {"connecting" | "live" | "reconnecting" | "paused"} Connection */

const TYPES = /** @type {const} */ (["verdicts", "status", "changed", "dead_letters"]);
/** @typedef {typeof TYPES[number] | "connection"} EventType */

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15_000;

/** The status comes every 5 s; four of them missing is a dead connection that nobody closed. */
const SILENT_MS = 20_000;

/** Of HTTP/1.1 a browser opens six connections to a host: pages that nobody sees must not hold them. */
const HIDDEN_MS = 60_000;

/**
 * The board answers at once with what it computed last, and computes anew behind: who asks when numbers changed may get old
 * ones, and nothing more is told in a quiet hour. So a change is told again after these: when an answer may have been computed
 * since, when one is surely no longer fresh (5 s by default), a moment later, and, for boards that compute for seconds, later.
 */
const ECHOES_MS = [2000, 7000, 10_000, 45_000];

/** After an answer that was no longer fresh: the newer one that is being computed then takes a second, mostly. */
const NEWER_MS = 2000;

export class Events {
  /** @type {EventSource | null} */
  #source = null;
  /** @type {Map<EventType, Set<(payload: any) => void>>} */
  #handlers = new Map();
  #retryMs = FIRST_RETRY_MS;
  /** @type {number | undefined} */
  #retry;
  /** @type {number | undefined} */
  #hide;
  /** @type {number | undefined} */
  #silence;
  /** @type {number[]} */
  #echoes = [];
  /** @type {number | undefined} */
  #newer;
  #last = "";

  constructor() {
    /** @type {Connection} */
    this.connection = "connecting";
    /** When the connection was last seen alive, in milliseconds; null: never. @type {number | null} */
    this.seenAt = null;
  }

  /**
   * Handle events of a type: `verdicts`, `status`, `changed`, `dead_letters`, or `connection` (its state changed).
   *
   * @param {EventType} type
   * @param {(payload: any) => void} handler
   * @param {{signal?: AbortSignal}} [options] a signal takes the handler away.
   * @returns {() => void} takes the handler away.
   */
  on(type, handler, { signal } = {}) {
    const handlers = this.#handlers.get(type) ?? new Set();
    this.#handlers.set(type, handlers.add(handler));
    const off = () => void handlers.delete(handler);
    signal?.addEventListener("abort", off, { once: true });
    return off;
  }

  /** Begin; once. */
  start() {
    document.addEventListener("visibilitychange", () => {
      clearTimeout(this.#hide);
      if (document.hidden) {
        this.#hide = setTimeout(() => this.#pause(), HIDDEN_MS);
      } else if (!this.#source) {
        this.#open();
      }
    });
    addEventListener("online", () => this.restart());
    this.#open();
  }

  /** Open the stream anew, now: after signing in, say. */
  restart() {
    this.#retryMs = FIRST_RETRY_MS;
    this.#open();
  }

  #open() {
    this.#close();
    const source = new EventSource(url("events", { after: this.#last }));
    this.#source = source;
    this.#expectWord();
    source.onopen = () => this.#alive();
    source.onerror = () => this.#failed(source);
    for (const type of TYPES) {
      source.addEventListener(type, (event) => {
        this.#alive();
        if (event.lastEventId) this.#last = event.lastEventId;
        let payload;
        try {
          payload = JSON.parse(event.data);
        } catch {
          return; // of a later version
        }
        this.#tell(type, payload);
        if (type === "changed") this.#echo(payload);
      });
    }
  }

  /** @param {unknown} payload */
  #echo(payload) {
    this.#echoes.forEach(clearTimeout);
    this.#echoes = ECHOES_MS.map((after) => setTimeout(() => this.#tell("changed", payload), after));
  }

  /** Tell of a change soon: somebody was given an old answer. */
  expectNewer() {
    this.#newer ??= setTimeout(() => {
      this.#newer = undefined;
      this.#tell("changed", {});
    }, NEWER_MS);
  }

  #close() {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#source = null;
  }

  #pause() {
    this.#close();
    this.#become("paused");
  }

  #alive() {
    this.seenAt = Date.now();
    this.#retryMs = FIRST_RETRY_MS;
    this.#expectWord();
    this.#become("live");
  }

  /** A connection that says nothing is opened anew; one that is only being opened, too: a proxy may take it and be silent. */
  #expectWord() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#become("reconnecting");
      this.#open();
    }, SILENT_MS);
  }

  /** @param {EventSource} source */
  #failed(source) {
    if (source !== this.#source) return;
    this.#become("reconnecting");
    if (source.readyState !== EventSource.CLOSED) return; // it tries by itself
    this.#close();
    void get("status").catch(() => {}); // of a browser that was signed out in another window, an error that is heard of
    this.#retry = setTimeout(() => this.#open(), this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  /** @param {Connection} connection */
  #become(connection) {
    if (connection === this.connection) return;
    this.connection = connection;
    this.#tell("connection", connection);
  }

  /** @param {EventType} type @param {unknown} payload */
  #tell(type, payload) {
    for (const handler of [...(this.#handlers.get(type) ?? [])]) {
      try {
        handler(payload);
      } catch (error) {
        console.error(error); // one view's fault is not another's
      }
    }
  }
}
