/** The frame of the page: navigation, what is shown, whether it is live. */

import * as api from "./api.js";
import { el, replace, setText } from "./dom.js";
import { failure } from "./components.js";
import { Events } from "./events.js";
import { frame } from "./frame.js";
import { askForToken } from "./sign-in.js";
import { address, parse } from "./state.js";
import * as board from "./views/board.js";
import * as quality from "./views/quality.js";
import * as review from "./views/review.js";
import * as stream from "./views/stream.js";
import * as tryBattle from "./views/try.js";
import * as verdicts from "./views/verdicts.js";

/**
 * @typedef {import("./context.js").View} View
 * @typedef {import("./context.js").Context} Context
 * @typedef {import("./types.js").Session} Session
 */

/** @type {Map<string, View>} */
const VIEWS = new Map(Object.entries({ board, verdicts, quality, stream, review, try: tryBattle }));
const FIRST = "board";

/** Of a board that says nothing of sessions. @type {Session} */
const OPEN = { version: "", token_required: false, signed_in: true, texts: false, battles: false };

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const tabs = /** @type {HTMLElement} */ (document.getElementById("tabs"));

async function start() {
  const session = await whoLooks();
  const events = new Events();
  api.whenOld(() => events.expectNewer());
  const shown = new Shown(events, session);
  const bar = frame(events, session);
  api.whenSignedOut(() => void askForToken().then(() => location.reload()));
  if (session.token_required && !session.signed_in) await askForToken();
  const views = [...VIEWS].filter(([name]) => name !== "try" || session.battles);
  replace(tabs, views.map(([name, view]) => el("a", { href: address(name), "data-view": name }, view.title)));
  shown.status = bar.status;
  addEventListener("hashchange", () => shown.follow());
  document.getElementById("skip")?.addEventListener("click", (event) => {
    event.preventDefault(); // the address is the view's
    main.focus();
  });
  shown.follow();
  events.start();
}

/** @returns {Promise<Session>} */
async function whoLooks() {
  try {
    return await api.get("session");
  } catch {
    return OPEN; // it will be told what is wrong where numbers are asked for
  }
}

/** The view that is shown. */
class Shown {
  /** @type {View | null} */
  #view = null;
  #name = "";
  #ended = new AbortController();

  /** @param {Events} events @param {Session} session */
  constructor(events, session) {
    this.events = events;
    this.session = session;
    /** @type {Context["status"]} */
    this.status = () => null;
  }

  /** Show what the address says. */
  follow() {
    const { view: name, query } = parse(location.hash, FIRST);
    const view = VIEWS.get(name);
    if (!view || (name === "try" && !this.session.battles)) {
      location.replace(address(FIRST));
    } else if (view === this.#view) {
      view.update(query);
    } else {
      this.#leave();
      this.#enter(name, view, query);
    }
  }

  #leave() {
    this.#ended.abort();
    this.#ended = new AbortController();
    this.#view?.unmount();
    replace(main);
  }

  /** @param {string} name @param {View} view @param {Record<string, string>} query */
  #enter(name, view, query) {
    const again = this.#view !== null;
    this.#view = view;
    this.#name = name;
    document.title = `${view.title} · prefstream`;
    for (const link of tabs.querySelectorAll("a")) {
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    showCurrentTab();
    const root = el("div", { class: "view", "data-view": name });
    replace(main, root);
    try {
      view.mount(root, this.#context(query));
    } catch (error) {
      console.error(error);
      replace(root, failure(error));
    }
    if (again) {
      scrollTo(0, 0);
      main.focus({ preventScroll: true }); // what a screen reader reads next
    }
  }

  /** @param {Record<string, string>} query @returns {Context} */
  #context(query) {
    return {
      api,
      events: this.events,
      session: this.session,
      query,
      status: () => this.status(),
      go: (change, { view, replace: quietly = false } = {}) => {
        const there = parse(location.hash, FIRST).query;
        const next = address(view ?? this.#name, view ? change : { ...there, ...change });
        if (quietly) {
          history.replaceState(null, "", next);
          this.follow();
        } else {
          location.hash = next;
        }
      },
      signal: this.#ended.signal,
    };
  }
}

/** On a phone not all tabs have room: the one of this view is brought to the middle. */
function showCurrentTab() {
  const current = /** @type {HTMLElement | null} */ (tabs.querySelector("[aria-current]"));
  if (current) tabs.scrollLeft = current.offsetLeft - tabs.offsetLeft - (tabs.clientWidth - current.offsetWidth) / 2;
}

void start().catch((error) => {
  console.error(error);
  replace(main, failure(error));
  setText(/** @type {HTMLElement} */ (document.getElementById("live-text")), "Stopped");
});
