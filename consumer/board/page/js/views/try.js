/** A prompt and two answers, judged as any other battle: a form, and below it what came of those that were sent. */

import { card } from "../components.js";
import { el, KeyedRows, prefersStill, replace, setText } from "../dom.js";
import { number } from "../format.js";
import { Attempts } from "../try/attempts.js";
import { AttemptCard, headline } from "../try/card.js";
import { EXAMPLES } from "../try/examples.js";

/**
 * @typedef {import("../context.js").Context} Context
 * @typedef {import("../try/attempt.js").Attempt} Attempt
 * @typedef {import("../try/attempt.js").Draft} Draft
 */

export const title = "Try a battle";

/** What the board takes: `MOST_BYTES` of its API, the names of the fields included. */
const MOST_BYTES = 64 * 1024;

/** The limit is told from here on: before it only distracts. */
const NEAR = 0.5;

/** A running clock; the eye sees tenths. */
const TICK_MS = 100;

/** What was sent and typed outlives the view, not the page. @type {Attempts | null} */
let attempts = null;
/** @type {Draft} */
let typed = { prompt: "", response_a: "", response_b: "" };
let nextExample = 0;

/** @type {((attempt: Attempt) => void) | null} */
let redraw = null;

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  attempts ??= new Attempts(context.events, (attempt) => redraw?.(attempt));
  const tries = attempts;
  const said = el("p", { class: "visually-hidden", role: "status", "aria-live": "polite" });
  const list = el("div", { class: "try-list" });
  const heading = el("h2", { class: "try-title", hidden: true }, "Your tries");
  const hint = el("p", { class: "card-words" }, "They stand on this page alone, and are gone when it is closed.");
  /** @type {Map<Attempt, AttemptCard>} */
  const cards = new Map();
  const form = new BattleForm((draft) => void tries.send(draft));
  const around = {
    again: (/** @type {Attempt} */ attempt) => form.fill(attempt.draft, `The texts of try ${attempt.number}: change something, and send it again.`),
    doubts: () => context.status()?.obstacle ?? null,
  };
  /** @type {KeyedRows<Attempt, HTMLElement>} */
  const rows = new KeyedRows(list, {
    key: (attempt) => String(attempt.number),
    create: (attempt) => {
      const made = new AttemptCard(attempt, around);
      cards.set(attempt, made);
      return made.node;
    },
  });
  const show = () => {
    rows.show(tries.all);
    for (const attempt of cards.keys()) if (!tries.all.includes(attempt)) cards.delete(attempt);
    heading.hidden = hint.hidden = tries.all.length === 0;
  };
  redraw = (attempt) => {
    show();
    cards.get(attempt)?.draw();
    if (attempt.state === "sending") cards.get(attempt)?.node.scrollIntoView({ block: "center", behavior: prefersStill() ? "auto" : "smooth" });
    setText(said, spoken(attempt));
  };
  const clock = setInterval(() => {
    for (const [attempt, shown] of cards) if (attempt.pending) shown.tick();
  }, TICK_MS);
  context.signal.addEventListener("abort", () => clearInterval(clock), { once: true });
  replace(
    root,
    el(
      "header",
      { class: "view-head" },
      el("div", null, el("h1", { class: "view-title" }, title), el("p", { class: "view-lead" }, "Write a prompt and two answers, and see what the judges say. It goes the way of every battle: to its topic, through the stream, and back over the topic of preferences.")),
    ),
    el("div", { class: "try-parts" }, form.node, el("section", { class: "try-history", "aria-label": "Your tries" }, heading, list, hint), lesson()),
    said,
  );
  show();
}

/** @param {Record<string, string>} query */
export function update(query) {
  void query;
}

export function unmount() {
  redraw = null;
}

/** @param {Attempt} attempt */
function spoken({ number: place, state, verdict, reason }) {
  switch (state) {
    case "sending":
      return `Try ${place} is sent.`;
    case "waiting":
      return `Try ${place} is written. Waiting for its verdict.`;
    case "unconfirmed":
      return `Try ${place} is not confirmed. ${reason}`;
    case "judged":
      return verdict ? `Verdict of try ${place}: ${headline(verdict)}.` : "";
    case "dead":
      return `Try ${place} became a dead letter: ${reason}.`;
    case "refused":
      return `Try ${place} was not sent: ${reason}.`;
  }
}

/** The form. What is typed stays in it after sending: a change and another try is what it is for. */
class BattleForm {
  /** @param {(draft: Draft) => void} onSend */
  constructor(onSend) {
    this.prompt = textArea("try-prompt", "prompt", 3, "What somebody asked, in any language");
    this.a = textArea("try-a", "response_a", 9, "What one model answered");
    this.b = textArea("try-b", "response_b", 9, "What another model answered");
    this.fault = el("p", { class: "field-fault", id: "try-fault", role: "alert" });
    this.size = el("p", { class: "try-size", id: "try-size" });
    this.teaches = el("p", { class: "try-teaches" });
    const example = el("button", { class: "button", type: "button", on: { click: () => this.#example() } }, "Fill in an example");
    const exchange = el("button", { class: "button", type: "button", on: { click: () => this.#exchange() } }, "Exchange A and B");
    const send = el("button", { class: "button primary", type: "submit" }, "Send battle");
    const form = el(
      "form",
      { class: "form try-form", novalidate: true, "aria-describedby": "try-keys" },
      this.#field("Prompt", this.prompt),
      el("div", { class: "try-answers" }, this.#field("Answer A", this.a, "a"), this.#field("Answer B", this.b, "b")),
      this.teaches,
      this.size,
      this.fault,
      el("div", { class: "try-actions" }, send, example, exchange, el("p", { class: "try-keys", id: "try-keys" }, el("kbd", null, "Ctrl"), " + ", el("kbd", null, "Enter"), " sends")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#isFit()) onSend(this.draft);
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    form.addEventListener("input", () => {
      setText(this.teaches, "");
      this.#typed();
    });
    this.node = card("The battle", { lead: "Judges see these texts and nothing else: no names of models, and not who wrote which." }, form);
    this.fill(typed);
  }

  /** @returns {Draft} */
  get draft() {
    return { prompt: this.prompt.value, response_a: this.a.value, response_b: this.b.value };
  }

  /** @param {Draft} draft @param {string} [teaches] */
  fill(draft, teaches = "") {
    this.prompt.value = draft.prompt;
    this.a.value = draft.response_a;
    this.b.value = draft.response_b;
    setText(this.teaches, teaches);
    this.#typed();
    if (teaches) this.prompt.focus();
  }

  #example() {
    const example = EXAMPLES[nextExample % EXAMPLES.length];
    nextExample += 1;
    if (example) this.fill({ prompt: example.prompt, response_a: example.a, response_b: example.b }, example.teaches);
  }

  #exchange() {
    const { prompt, response_a: a, response_b: b } = this.draft;
    this.fill({ prompt, response_a: b, response_b: a }, "Exchanged: judges without position bias say the same of the other letter.");
  }

  /** @param {string} label @param {HTMLTextAreaElement} area @param {string} [side] */
  #field(label, area, side) {
    const count = el("span", { class: "try-count", id: `${area.id}-count` });
    area.setAttribute("aria-describedby", count.id);
    const told = () => setText(count, area.value ? `${number([...area.value].length)} characters` : "");
    area.addEventListener("input", told);
    this.counts.push(told);
    return el("div", { class: "try-field", "data-side": side }, el("div", { class: "try-label" }, el("label", { for: area.id }, label), count), area);
  }

  /** @type {(() => void)[]} */
  counts = [];

  /** Something else stands in the form. */
  #typed() {
    typed = this.draft;
    for (const told of this.counts) told();
    const bytes = bytesOf(typed);
    const near = bytes > NEAR * MOST_BYTES;
    setText(this.size, near ? `${number(bytes / 1024, 1)} of at most ${MOST_BYTES / 1024} KiB` : "");
    this.size.dataset.over = String(bytes > MOST_BYTES);
    if (this.fault.textContent) this.#isFit(false);
  }

  /** Whether it can be sent; says why not. @param {boolean} [move] go to where the fault is. */
  #isFit(move = true) {
    const blank = !this.prompt.value.trim();
    const large = bytesOf(this.draft) > MOST_BYTES;
    const empty = !this.a.value && !this.b.value;
    setText(this.fault, blank ? "Write a prompt: judges compare answers to something." : empty ? "Write at least one answer." : large ? `Shorten the texts: the board takes ${MOST_BYTES / 1024} KiB at most.` : "");
    mark(this.prompt, blank);
    mark(this.a, !blank && empty);
    if (move && (blank || empty || large)) (blank ? this.prompt : this.a).focus();
    return !(blank || large || empty);
  }
}

/** @param {HTMLElement} field @param {boolean} wrong */
function mark(field, wrong) {
  if (wrong) {
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-errormessage", "try-fault");
  } else {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-errormessage");
  }
}

/** @param {string} id @param {string} name @param {number} rows @param {string} placeholder */
function textArea(id, name, rows, placeholder) {
  return el("textarea", { class: "input try-text", id, name, rows, placeholder, dir: "auto", autocomplete: "off" });
}

/** As it goes over the wire. @param {Draft} draft */
function bytesOf(draft) {
  return new TextEncoder().encode(JSON.stringify(draft)).length;
}

/** What happens to a battle, and what to look at. */
function lesson() {
  return card(
    "What happens to it",
    { class: "try-lesson" },
    el(
      "ol",
      { class: "try-way" },
      el("li", null, "The board writes it to the ", el("b", null, "topic of battles"), ", as any producer does. Its id begins with ", el("code", null, "try-"), "."),
      el("li", null, "The ", el("b", null, "stream"), " reads it, with whatever else has come, as a batch."),
      el("li", null, "Each ", el("b", null, "judge"), " says how probable it is that a person prefers A, prefers B, or calls it a tie. Some read both orders."),
      el("li", null, "Their weighted mean goes to the ", el("b", null, "topic of preferences"), ", and comes back to this page from there."),
    ),
    el("p", { class: "card-words" }, "It names no models, so it moves no rating. Everybody who reads these topics can see it: write nothing that they must not."),
  );
}
