/** What the board itself has counted, and what went otherwise than it should. */

import { card, csvLink, DataTable, note } from "../components.js";
import { el, replace } from "../dom.js";
import { moment, number, plural } from "../format.js";

/** @typedef {import("../types.js").BoardStatus} BoardStatus */

/** What is counted, in words, in the order in which it is told. @type {readonly (readonly [string, string, string])[]} */
const COUNTED = [
  ["preferences", "Preferences", "battles that count, each by its first preference"],
  ["unnamed", "Without a name", "of these, battles of which a model's name is not known"],
  ["duplicate_battles", "Judged twice", "preferences of battles that had one already"],
  ["bad_preferences", "Bad preferences", "records of the preferences topic that are none"],
  ["lost_preferences", "Lost preferences", "gone from the topic before they were read"],
  ["votes", "Votes", "that were read, whatever became of them"],
  ["replaced_votes", "Replaced votes", "that a later one of the same voter took the place of"],
  ["too_late", "Too late", "votes for battles that had left the join"],
  ["unknown_battles", "Of no battle", "votes whose battle did not come for as long as it was waited for"],
  ["bad_votes", "Bad votes", "records of the votes topic that are none, and became dead letters"],
  ["lost_votes", "Lost votes", "gone from the topic before they were read"],
  ["join_full", "Join full", "battles that left the join before their time, because it was full"],
];

/** Notes that are shown: the newest. */
const NOTES = 20;

/** @returns {{node: HTMLElement, show: (status: BoardStatus) => void}} */
export function counters() {
  /** @type {DataTable<{name: string, label: string, words: string, count: number}>} */
  const table = new DataTable({
    caption: "What the board has counted",
    key: ({ name }) => name,
    columns: [
      { label: "Counted", header: true, cell: ({ label, words }) => [label, words && el("span", { class: "row-detail" }, words)] },
      { label: "Records", numeric: true, cell: ({ count }) => number(count) },
    ],
  });
  const lead = el("span");
  const notes = el("ul", { class: "notes" });
  const heading = el("h3", null, "Notes");
  const node = card("What the board has read", { lead, actions: [csvLink("counters")] }, table.node, heading, notes);
  return {
    node,
    show: ({ counters: told, since, behind, notes: noted }) => {
      const read = behind === null ? "How far it is behind is not known" : behind === 0 ? "It has read all that there is" : `${plural(behind, "record")} on the topics ${behind === 1 ? "is" : "are"} still to be read`;
      lead.textContent = `${since ? `Since ${moment(since)}. ` : ""}${read}.`;
      const known = new Set(COUNTED.map(([name]) => name));
      const others = Object.keys(told).filter((name) => !known.has(name)).sort();
      const rows = [...COUNTED, ...others.map((name) => /** @type {const} */ ([name, name.replaceAll("_", " "), ""]))];
      table.show(
        rows.flatMap(([name, label, words]) => {
          const count = told[name] ?? 0;
          return count > 0 || name === "preferences" || name === "votes" ? [{ name, label, words, count }] : [];
        }),
      );
      heading.hidden = notes.hidden = noted.length === 0;
      replace(notes, noted.slice(0, NOTES).map(({ at, detail }) => el("li", null, note([el("span", { class: "note-at" }, moment(at)), " ", detail]))));
    },
  };
}
