/** Battles that a person should look at, for each reason the most telling first. */

import { outcomeBar, outcomeLegend } from "../charts/outcome-bar.js";
import { card, csvLink, DataTable, emptyState, failure, segmented, settle, skeleton, tag } from "../components.js";
import { el, replace, setText } from "../dom.js";
import { ago, moment, number } from "../format.js";
import { refreshed } from "../refreshed.js";
import { textsButton } from "../texts.js";
import { spot } from "../verdicts/feed.js";

/**
 * @typedef {import("../context.js").Context} Context
 * @typedef {import("../types.js").ReviewLine} ReviewLine
 * @typedef {import("../types.js").ReviewPage} ReviewPage
 */

export const title = "Review";

/** Reasons, in words: its switch, and what it means. @type {readonly (readonly [string, string, string])[]} */
const REASONS = [
  ["vote", "Surprising votes", "A person said what the panel held for improbable: the more bits, the less probable."],
  ["disagreement", "Judges differ", "The judges' answers lie far apart, in bits of divergence."],
  ["entropy", "Panel unsure", "The panel does not know: its probabilities are nearly even, in bits of entropy."],
];

/** Lines at a time: nobody looks at more in a sitting, and the download has all. */
const SHOWN = 50;

/** @type {{choose: (why: string | undefined) => void} | null} */
let shown = null;

/** @param {HTMLElement} root @param {Context} context */
export function mount(root, context) {
  const { api, go, query, signal } = context;
  const choice = segmented("Why", REASONS.map(([name, words]) => /** @type {const} */ ([name, words])), (why) => go({ why }, { replace: true }));
  const list = table(context);
  const lead = el("span");
  const place = el("div");
  const end = el("p", { class: "card-words" });
  const jsonl = el("a", { class: "csv", href: api.url("review.jsonl"), download: "review.jsonl", "aria-label": "Download all battles to review as JSON lines" }, "JSONL");
  const body = card("Most telling first", { lead, actions: [jsonl, csvLink("review", {}, "all battles to review")] }, outcomeLegend(), place, end);
  const state = el("div", null, skeleton(8));
  body.hidden = true;
  replace(
    root,
    el("header", { class: "view-head" }, el("div", null, el("h1", { class: "view-title" }, title), el("p", { class: "view-lead" }, "Where a look of a person tells most: of the judges, and of the votes.")), choice.node),
    state,
    body,
  );
  /** @type {readonly ReviewLine[] | null} */
  let battles = null;
  /** @type {string | undefined} */
  let why = query.why;
  const draw = () => {
    if (battles === null) return;
    // The reason asked for, else the first that has battles.
    const [name, , words] = REASONS.find(([one]) => one === why) ?? REASONS.find(([one]) => battles?.some((line) => line.why === one)) ?? REASONS[0] ?? ["", "", ""];
    choice.set(name);
    const lines = battles.filter((line) => line.why === name);
    lead.textContent = words;
    list.show(lines.slice(0, SHOWN));
    age();
    settle(place, lines.length > 0 ? "list" : name, () => (lines.length > 0 ? list.node : nothing(name)));
    end.textContent = lines.length > SHOWN ? `The first ${SHOWN} of ${number(lines.length)}; the downloads have all.` : "";
  };
  const age = () => {
    for (const time of place.querySelectorAll("time")) setText(time, ago(time.dateTime));
  };
  /** While somebody points at a line or stands in it, none moves. */
  const isRead = () => list.node.matches(":hover") || list.node.contains(document.activeElement);
  let waits = false;
  const drawWhatWaits = () => {
    if (!waits || isRead()) return;
    waits = false;
    draw();
  };
  list.node.addEventListener("pointerleave", drawWhatWaits);
  list.node.addEventListener("focusout", () => setTimeout(drawWhatWaits));
  refreshed(context, {
    ask: () => api.get("review", {}, { signal }),
    show: (/** @type {ReviewPage} */ page) => {
      battles = page.battles;
      replace(state);
      body.hidden = false;
      waits = isRead();
      if (waits) age();
      else draw();
    },
    fail: (error) => void replace(state, failure(error)),
  });
  shown = {
    choose: (chosen) => {
      why = chosen;
      draw();
    },
  };
}

/** @param {Record<string, string>} query */
export function update(query) {
  shown?.choose(query.why);
}

export function unmount() {
  shown = null;
}

/** @param {Context} context @returns {DataTable<ReviewLine>} */
function table(context) {
  /** @param {ReviewLine} line */
  const texts = ({ id, source, partition, offset }) => textsButton(context, { id, source: partition === null ? { file: source, line: offset } : { topic: source, partition, offset } });
  return new DataTable({
    caption: "Battles that a person should look at",
    still: true,
    key: ({ why, id }) => `${why} ${id}`,
    columns: [
      { label: "Bits", numeric: true, hint: "By which it is among the first", cell: ({ score }) => number(score, 2) },
      { label: "Battle", header: true, wide: true, cell: (line) => [...battle(line), texts(line)] },
      { label: "What the panel holds for probable", cell: (line) => [models(line), outcomeBar(line.probabilities, line), el("div", { class: "review-narrow" }, battle(line), line.said && ["a person said ", said(line)], texts(line))] },
      { label: "A person said", wide: true, cell: said },
      { label: "Published", wide: true, cell: ({ published_at: at }) => el("time", { datetime: at, title: moment(at) }, ago(at)) },
    ],
  });
}

/** @type {Record<string, string>} */
const SAID = { model_a: "A", model_b: "B", tie: "tie", both_bad: "both bad" };

/** @param {ReviewLine} line */
function said({ said: winner }) {
  return winner === null ? el("span", { class: "nothing" }, "nothing yet") : tag(SAID[winner] ?? winner, "accent");
}

/** @param {ReviewLine} line */
function battle({ id, link, source, partition, offset, language }) {
  const name = link ? el("a", { href: link, rel: "noreferrer" }, id) : id;
  const where = partition === null ? `${source}:${offset}` : spot({ topic: source, partition, offset });
  return [name, el("span", { class: "row-detail" }, el("code", null, where), language && ` · ${language}`)];
}

/** @param {ReviewLine} line */
function models({ model_a: a, model_b: b }) {
  /** @param {string | null} name @param {"a" | "b"} side */
  const one = (name, side) =>
    el("span", { class: "review-model", "data-side": side }, el("span", { class: "side", "data-side": side }, side.toUpperCase()), el("span", { class: "review-name", title: name }, name ?? "not told"));
  return el("div", { class: "review-models" }, one(a, "a"), one(b, "b"));
}

/** @param {string} why */
function nothing(why) {
  if (why === "vote") {
    return emptyState("No vote surprises", "Where people vote against what the panel holds for probable, the battle comes here. Send what people said to the votes topic; more on this under Quality.");
  }
  if (why === "disagreement") return emptyState("No disagreement", "It takes two judges that differ. A panel of one judge has none.");
  return emptyState("Nothing to look at yet", "Battles come here as they are judged.", "prefstream run --panel panel.yaml");
}
