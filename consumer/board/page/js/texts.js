/**
 * What a battle says: fetched from its topic when somebody asks for it, shown as text, and gone from the page when it is
 * hidden. Only where the board was started with --show-texts.
 */

import { isAbort } from "./api.js";
import { failure, note, uniqueId } from "./components.js";
import { el, replace, setText } from "./dom.js";
import { number, plural } from "./format.js";

/**
 * @typedef {import("./context.js").Context} Context
 * @typedef {import("./types.js").BattleTexts} BattleTexts
 * @typedef {{topic: string, partition: number, offset: number}} TopicSource
 * @typedef {TopicSource | {file: string, line: number}} Source
 */

/** Characters of a text that are shown at first: a screen of it. Others of the record may have millions. */
const FOLDED = 1_500;

/** A text that is hardly longer is shown whole: a button for a line would be silly. */
const NOT_WORTH_FOLDING = 300;

/** Turns that are shown at first. */
const MOST_TURNS = 20;

/**
 * A button that shows a battle's texts below it; null where this board shows none.
 *
 * @param {Context} context
 * @param {{id: string, source: Source}} battle
 * @returns {HTMLElement | null}
 */
export function textsOf(context, { id, source }) {
  if (!context.session.texts) return null;
  if (!("topic" in source)) return note(`Its texts stand in ${source.file}, line ${number(source.line)}; only those on a topic are shown here.`);
  const place = el("div", { class: "texts-place", id: uniqueId("texts"), "aria-live": "polite" });
  const button = el("button", { class: "button", type: "button", "aria-expanded": "false", "aria-controls": place.id }, "Show texts");
  /** @type {AbortController | null} */
  let shown = null;
  button.addEventListener("click", () => {
    if (shown) {
      shown.abort();
      shown = null;
      replace(place);
    } else {
      shown = new AbortController();
      void fetchInto(place, context, { id, source }, AbortSignal.any([shown.signal, context.signal]));
    }
    setText(button, shown ? "Hide texts" : "Show texts");
    button.setAttribute("aria-expanded", String(shown !== null));
  });
  return el("div", { class: "texts" }, button, place);
}

/**
 * A small button that shows a battle's texts in a dialog, for lists that are drawn anew; null where there are none.
 *
 * @param {Context} context
 * @param {{id: string, source: Source}} battle
 * @returns {HTMLElement | null}
 */
export function textsButton(context, { id, source }) {
  if (!context.session.texts || !("topic" in source)) return null;
  return el("button", { class: "link texts-link", type: "button", "aria-label": `Show texts of battle ${id}`, on: { click: () => openDialog(context, { id, source }) } }, "Show texts");
}

/** @param {Context} context @param {{id: string, source: TopicSource}} battle */
function openDialog(context, { id, source }) {
  const heading = el("h2", { id: uniqueId("texts-title") }, "What the battle says");
  const place = el("div", { class: "texts-place", "aria-live": "polite" });
  const closed = new AbortController();
  const dialog = el(
    "dialog",
    { class: "texts-dialog", "aria-labelledby": heading.id },
    el("header", { class: "texts-head" }, el("div", null, heading, el("code", null, id)), el("button", { class: "button", type: "button", on: { click: () => dialog.close() } }, "Close")),
    place,
  );
  const end = AbortSignal.any([closed.signal, context.signal]);
  dialog.addEventListener("close", () => {
    closed.abort();
    dialog.remove();
  });
  context.signal.addEventListener("abort", () => dialog.close(), { signal: closed.signal });
  document.body.append(dialog);
  dialog.showModal();
  void fetchInto(place, context, { id, source }, end);
}

/** @param {HTMLElement} place @param {Context} context @param {{id: string, source: TopicSource}} battle @param {AbortSignal} signal */
async function fetchInto(place, { api }, { id, source: { topic, partition, offset } }, signal) {
  replace(place, el("p", { class: "texts-words" }, "Fetching the battle from its topic"));
  try {
    /** @type {BattleTexts} */
    const texts = await api.get("texts", { id, topic, partition, offset }, { signal });
    replace(place, drawTexts(texts));
  } catch (error) {
    if (!isAbort(error)) replace(place, failure(error));
  }
}

/**
 * Prompt and answers, turn by turn, the answers side by side.
 *
 * @param {BattleTexts} battle
 * @returns {HTMLElement}
 */
export function drawTexts({ prompt, response_a: a, response_b: b }) {
  const list = el("div", { class: "turns" });
  /** @param {number} from @param {number} to */
  const add = (from, to) => {
    for (let turn = from; turn < to; turn += 1) {
      list.append(
        el(
          "section",
          { class: "turn", "aria-label": prompt.length > 1 ? `Turn ${turn + 1} of ${prompt.length}` : "Prompt and answers" },
          prompt.length > 1 && el("p", { class: "turn-number" }, `Turn ${turn + 1}`),
          said("Prompt", "prompt", prompt[turn] ?? ""),
          el("div", { class: "turn-answers" }, said("Answer A", "a", a[turn] ?? ""), said("Answer B", "b", b[turn] ?? "")),
        ),
      );
    }
  };
  add(0, Math.min(prompt.length, MOST_TURNS));
  if (prompt.length > MOST_TURNS) {
    const more = el("button", { class: "button", type: "button" }, `Show ${plural(prompt.length - MOST_TURNS, "more turn")}`);
    more.addEventListener("click", () => {
      more.remove();
      add(MOST_TURNS, prompt.length);
    });
    return el("div", null, list, more);
  }
  return list;
}

/** @param {string} who @param {"prompt" | "a" | "b"} kind @param {string} text */
function said(who, kind, text) {
  // What turns the writing direction stays in its own block: `dir` and the style sheet isolate it.
  const words = el("div", { class: "said-text", dir: "auto", tabindex: 0, role: "group", "aria-label": who });
  const whole = text.length <= FOLDED + NOT_WORTH_FOLDING;
  words.textContent = whole ? text : `${text.slice(0, cut(text))}…`;
  const node = el("div", { class: "said", "data-side": kind }, el("p", { class: "said-who" }, who), text ? words : el("p", { class: "nothing" }, "empty"));
  if (!whole) {
    const more = el("button", { class: "link said-more", type: "button", "aria-label": `Show all ${number(text.length)} characters of ${who}` }, `Show all ${number(text.length)} characters`);
    more.addEventListener("click", () => {
      words.textContent = text;
      more.remove();
      words.focus({ preventScroll: true });
    });
    node.append(more);
  }
  return node;
}

/** Where to cut: not within a character of two units. @param {string} text */
function cut(text) {
  const unit = text.charCodeAt(FOLDED - 1);
  return unit >= 0xd800 && unit < 0xdc00 ? FOLDED - 1 : FOLDED;
}
