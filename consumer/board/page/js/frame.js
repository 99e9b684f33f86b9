/** What is always to be seen: whether the page is live, how fast battles come, the banner, the theme, the foot. */

import { post } from "./api.js";
import { note } from "./components.js";
import { el, replace, setAttributes, setText, svg } from "./dom.js";
import { ago, clock, moment, number } from "./format.js";

/**
 * @typedef {import("./types.js").BoardStatus} Status
 * @typedef {import("./types.js").VerdictsEvent} VerdictsEvent
 * @typedef {import("./types.js").Session} Session
 */

/** Over which battles per second are told. */
const RATE_S = 20;
const TICK_MS = 1000;

/** A reconnection that takes no longer needs no banner. */
const PATIENCE_MS = 4000;

/** Records on the topics that are not here yet: less is the daily way of things. */
const MUCH_BEHIND = 1000;

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * Keep the frame up to date.
 *
 * @param {import("./events.js").Events} events
 * @param {Session} session
 * @returns {{status: () => Status | null}} the newest status.
 */
export function frame(events, session) {
  /** @type {Status | null} */
  let status = null;
  /** @type {number | null} */
  let lostAt = null;
  const rate = new Rate();
  const tellFoot = foot(session);
  const show = () => {
    if (events.connection === "live" || events.connection === "paused") lostAt = null;
    else lostAt ??= Date.now();
    showLive(events, status);
    showBanner(events, status, lostAt);
    showRate(rate);
    tellFoot(status);
  };
  events.on("connection", (connection) => {
    if (connection !== "live") rate.end();
    show();
  });
  events.on("status", (/** @type {Status} */ told) => {
    status = told;
    rate.begin(); // what was missed meanwhile comes before it, all at once
    show();
  });
  events.on("verdicts", (/** @type {VerdictsEvent} */ told) => {
    rate.add(told.verdicts.length + told.skipped);
    show();
  });
  setInterval(show, TICK_MS);
  theme();
  show();
  return { status: () => status };
}

/** Battles per second over the last while, of those that came as they were judged. */
class Rate {
  /** @type {{at: number, battles: number}[]} */
  #seen = [];
  /** @type {number | null} */
  #began = null;

  /** From now on; where it has begun, it goes on. */
  begin() {
    this.#began ??= performance.now();
  }

  end() {
    this.#began = null;
    this.#seen = [];
  }

  /** @param {number} battles */
  add(battles) {
    if (this.#began !== null) this.#seen.push({ at: performance.now(), battles });
  }

  /** @returns {number | null} null: nobody knows. */
  perSecond() {
    if (this.#began === null) return null;
    const now = performance.now();
    this.#seen = this.#seen.filter(({ at }) => at > now - 1000 * RATE_S);
    const battles = this.#seen.reduce((sum, one) => sum + one.battles, 0);
    return battles / Math.min(RATE_S, Math.max(1, (now - this.#began) / 1000));
  }
}

/** @param {Rate} rate */
function showRate(rate) {
  const perSecond = rate.perSecond();
  const node = byId("rate");
  node.hidden = perSecond === null;
  if (perSecond === null) return;
  const shown = number(perSecond, perSecond < 10 ? 1 : 0);
  setText(node, `${shown} battles/s`);
  node.title = `Battles judged per second, over the last ${RATE_S} s`;
}

/** @param {import("./events.js").Events} events @param {Status | null} status */
function showLive(events, status) {
  const [state, words] = liveState(events, status);
  setAttributes(byId("live"), { "data-state": state });
  setText(byId("live-text"), words);
}

/**
 * @param {import("./events.js").Events} events
 * @param {Status | null} status
 * @returns {[string, string]} state and words.
 */
function liveState(events, status) {
  if (events.connection === "connecting") return ["connecting", "Connecting"];
  if (events.connection === "reconnecting") return ["reconnecting", "Reconnecting"];
  if (events.connection === "paused") return ["connecting", "Paused"];
  if (status && !status.fresh.ok) return ["stale", "Not fresh"];
  if (status?.behind && status.behind > MUCH_BEHIND) return ["behind", "Catching up"];
  return ["live", "Live"];
}

/** @param {import("./events.js").Events} events @param {Status | null} status @param {number | null} lostAt */
function showBanner(events, status, lostAt) {
  const banner = byId("banner");
  const fault = bannerText(events, status, lostAt);
  const shown = fault ? note(fault, "warning") : status?.notice ? note(status.notice) : null;
  if (banner.textContent !== (shown?.textContent ?? "")) replace(banner, shown);
}

/**
 * @param {import("./events.js").Events} events
 * @param {Status | null} status
 * @param {number | null} lostAt
 * @returns {string | null}
 */
function bannerText(events, status, lostAt) {
  if (lostAt !== null && Date.now() - lostAt > PATIENCE_MS) {
    const since = events.seenAt === null ? "The board does not answer yet." : `No word from the board since ${clock(events.seenAt)}.`;
    return `${since} Numbers below may be old; the page goes on by itself.`;
  }
  if (!status) return null;
  if (status.fresh.ok) return null;
  const newest = status.newest_preference_at ? ` The newest battle is of ${moment(status.newest_preference_at)}.` : "";
  const why = status.fresh.why ?? "nobody knows why";
  return `Numbers may be old: ${why}${why.endsWith("?") ? "" : "."}${newest}`;
}

/** What stands below every view. @param {Session} session @returns {(status: Status | null) => void} tells what may change. */
function foot(session) {
  const since = el("span");
  const version = el("span");
  const out = async () => {
    await post("session", {}, { method: "DELETE" });
    location.reload();
  };
  replace(
    byId("foot"),
    el(
      "p",
      null,
      since,
      version,
      el("a", { href: "api/v1/board" }, "Board as JSON"),
      el("a", { href: "api/v1/openapi.json" }, "API"),
      el("a", { href: "metrics" }, "Metrics"),
      session.token_required && el("button", { class: "link", type: "button", on: { click: out } }, "Sign out"),
    ),
  );
  return (status) => {
    setText(since, status?.since ? `Counting since ${moment(status.since)} (${ago(status.since)})` : "Nothing counted yet");
    const known = status?.version ?? session.version;
    version.hidden = !known;
    setText(version, `prefstream ${known}`);
  };
}

/** Light, dark, or as the system has it: the button changes to the other one. */
function theme() {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : system.matches;
  };
  const show = () => {
    const other = isDark() ? "light" : "dark";
    button.setAttribute("aria-label", `Switch to ${other} colours`);
    button.title = `Switch to ${other} colours`;
    replace(button, isDark() ? sun() : moon());
  };
  button.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try {
      localStorage.setItem("prefstream-theme", chosen);
    } catch {
      // forbidden: it holds until the page is left
    }
    show();
  });
  system.addEventListener("change", show);
  show();
}

function sun() {
  const rays = [0, 45, 90, 135, 180, 225, 270, 315].map((turn) =>
    svg("line", { x1: 10, x2: 10, y1: 1.5, y2: 3.7, transform: `rotate(${turn} 10 10)` }),
  );
  return svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("circle", { cx: 10, cy: 10, r: 3.6 }), rays);
}

function moon() {
  const path = svg("path", { d: "M16.6 12.3A7 7 0 0 1 7.7 3.4a7 7 0 1 0 8.9 8.9Z" });
  return svg("svg", { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true" }, path);
}
