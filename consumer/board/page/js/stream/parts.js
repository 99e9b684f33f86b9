/** The parts of the view of the stream: each is a card that shows a report, and again the next one. */

import { barChart } from "../charts/bars.js";
import { lineChart } from "../charts/lines.js";
import { timeTicks } from "../charts/time.js";
import { card, csvLink, DataTable, emptyState, figure, figures, note, settle } from "../components.js";
import { el, replace } from "../dom.js";
import { ago, duration, moment, number, percent, plural, short, shortClock } from "../format.js";
import { upper } from "../quality/judgement.js";
import { numbers } from "../quality/numbers.js";
import { spot } from "../verdicts/feed.js";

/**
 * @typedef {import("../types.js").StreamReport} StreamReport
 * @typedef {import("../types.js").StreamMinute} StreamMinute
 * @typedef {import("../types.js").PartitionLag} PartitionLag
 * @typedef {import("../types.js").DeadLetterReason} DeadLetterReason
 * @typedef {{node: HTMLElement, show: (report: StreamReport) => void}} Part
 */

const MINUTE_MS = 60_000;

/** What codes of reasons mean; others are told as they are. @type {Record<string, string>} */
const REASONS = {
  null_value: "no value at all",
  not_utf8: "not UTF-8",
  not_json: "not JSON",
  not_finite: "a number that is none, such as NaN",
  too_deep: "JSON that is nested too deep",
  not_an_object: "JSON, but no object",
  missing_field: "a field is missing",
  wrong_type: "a field is of another type",
  turns_differ: "prompt and answers have different numbers of turns",
  field_too_large: "a field is too large",
  too_large_for_judge: "too large for a judge",
  preference_too_large: "its preference would be too large to send",
  too_large_unpacked: "too large once it is unpacked",
  not_unpacked: "can't be unpacked",
  unknown: "of another program or a later version",
};

/** The newest minute that is over and has a latency. @param {readonly StreamMinute[]} minutes */
const newest = (minutes) => minutes.slice(0, -1).findLast((minute) => minute.latency_p50_s !== null) ?? minutes.at(-1);

/** How it stands, at a glance. @returns {Part} */
export function summary() {
  const node = el("section", { class: "card", "aria-label": "At a glance" });
  return {
    node,
    show: ({ minutes, per_s: perS, lag, dead_letters: dead, now }) => {
      const last = newest(minutes);
      const battles = minutes.reduce((sum, minute) => sum + minute.battles, 0);
      replace(
        node,
        figures(
          figure("Battles a second", perS === null ? "–" : number(perS, perS < 10 ? 1 : 0), perS === null ? "nothing was judged" : `over the last two minutes; ${number(battles)} in the last hour`),
          figure("Latency, median", duration(last?.latency_p50_s), last && last.latency_p50_s !== null ? `in the minute of ${shortClock(last.at)}` : "nothing was judged"),
          figure("Latency, 95th percentile", duration(last?.latency_p95_s), last && last.latency_p95_s !== null ? "95 of 100 battles took no longer" : "nothing was judged"),
          figure("Lag", lag ? short(lag.total) : "–", lag ? `${lag.total === 1 ? "battle waits" : "battles wait"} for the judges` : "not known"),
          figure("Dead letters", dead ? short(dead.total) : "–", dead ? `since ${moment(dead.since)}${dead.complete ? "" : ", at least"}` : "not known"),
        ),
        el("p", { class: "visually-hidden" }, `As of ${moment(now)}`),
      );
    },
  };
}

/** Battles a minute. @returns {Part} */
export function throughput() {
  const chart = barChart({ caption: "", stepMs: MINUTE_MS, yTitle: "battles" });
  const table = minuteNumbers();
  const node = card("Battles a minute", { lead: "The last hour, by when preferences were published.", actions: [csvLink("minutes", {}, "battles and latency by minute")] }, chart, table);
  return {
    node,
    show: ({ minutes }) => {
      const most = Math.max(0, ...minutes.map(({ battles }) => battles));
      const total = minutes.reduce((sum, { battles }) => sum + battles, 0);
      chart.update(
        minutes.map(({ at, battles }) => ({ at: Date.parse(at), value: battles, title: `${shortClock(at)}: ${plural(battles, "battle")}` })),
        `${plural(total, "battle")} in ${minutes.length} minutes, at most ${number(most)} in one; the last minute is not over.`,
      );
      table.update(minutes.toReversed());
    },
  };
}

/** @returns {ReturnType<typeof numbers<StreamMinute>>} */
function minuteNumbers() {
  return numbers(
    "The last hour by minute",
    [
      { label: "Minute", header: true, cell: ({ at }) => shortClock(at) },
      { label: "Battles", numeric: true, cell: ({ battles }) => number(battles) },
      { label: "Median", numeric: true, cell: (minute) => duration(minute.latency_p50_s) },
      { label: "95th percentile", numeric: true, cell: (minute) => duration(minute.latency_p95_s) },
      { label: "Waited", numeric: true, wide: true, cell: (minute) => duration(minute.queue_s) },
      { label: "Tokenised", numeric: true, wide: true, cell: (minute) => duration(minute.tokenise_s) },
      { label: "Read by judges", numeric: true, wide: true, cell: (minute) => duration(minute.inference_s) },
    ],
    ({ at }) => at,
  );
}

/** How long a battle took. @returns {Part} */
export function latency() {
  const chart = lineChart({ caption: "", series: [] });
  const legend = el("p", { class: "legend" }, el("span", { class: "legend-item", "data-kind": "accent" }, "median"), el("span", { class: "legend-item", "data-kind": "muted" }, "95th percentile"));
  const nothing = emptyState("No latency yet", "Preferences of a running stream have timings; those of score have none.");
  const node = card("Latency", { lead: "Waiting for the judges, tokenising and inference of a battle. How long it lay on its topic is not in it: the lag tells.", actions: [csvLink("minutes", {}, "battles and latency by minute")] }, legend, chart, nothing);
  return {
    node,
    show: ({ minutes }) => {
      const known = minutes.filter((minute) => minute.latency_p50_s !== null);
      legend.hidden = chart.hidden = known.length === 0;
      nothing.hidden = known.length > 0;
      const [first, last] = [minutes[0], minutes.at(-1)];
      if (known.length === 0 || !first || !last) return;
      /** @param {"latency_p50_s" | "latency_p95_s"} name @param {string} words */
      const points = (name, words) =>
        minutes.map((minute) => ({ x: Date.parse(minute.at), y: minute[name], title: `${shortClock(minute.at)}: ${words} ${duration(minute[name])}` }));
      const time = timeTicks(Date.parse(first.at), Date.parse(last.at));
      const end = newest(minutes);
      chart.update({
        caption: `In the minute of ${shortClock(end?.at ?? last.at)}: median ${duration(end?.latency_p50_s)}, 95th percentile ${duration(end?.latency_p95_s)}.`,
        xTicks: time.ticks,
        xText: time.text,
        yText: duration,
        include: [0],
        series: [
          { name: "95th percentile", kind: "muted", points: points("latency_p95_s", "95th percentile") },
          { name: "median", kind: "accent", points: points("latency_p50_s", "median") },
        ],
      });
    },
  };
}

/** What waits, by partition. @returns {Part} */
export function lag() {
  /** @type {DataTable<PartitionLag & {share: number}>} */
  const table = new DataTable({
    caption: "Lag by partition",
    key: (one) => `${one.topic}/${one.partition}`,
    columns: [
      { label: "Partition", header: true, cell: ({ topic, partition }) => el("code", null, `${topic}/${partition}`) },
      { label: "Share", wide: true, cell: ({ share }) => meter(share) },
      { label: "Battles waiting", numeric: true, cell: (one) => number(one.lag) },
    ],
  });
  const lead = el("span");
  const place = el("div");
  const node = card("Lag", { lead, actions: [csvLink("lag", {}, "lag by partition")] }, place);
  return {
    node,
    show: ({ lag: told, group, why_no_lag: why }) => {
      if (!told) {
        lead.textContent = "";
        const words = why ?? "no stream's group is watched";
        settle(place, words, () => emptyState("The lag is not known", sentence(words), "prefstream board --group-id GROUP"));
        return;
      }
      const words = told.total === 0 ? "Nothing waits: the stream keeps up" : `${plural(told.total, "battle")} ${told.total === 1 ? "waits" : "wait"}`;
      lead.textContent = `${words}${group ? `; group ${group}` : ""}.`;
      const most = Math.max(1, ...told.partitions.map((one) => one.lag));
      table.show(told.partitions.map((one) => ({ ...one, share: one.lag / most })));
      settle(place, "", () => table.node);
    },
  };
}

/** @param {string} words of the board's. */
const sentence = (words) => upper(/[.?!]$/.test(words) ? words : `${words}.`);

/** A bar of a share of the largest. @param {number} share */
const meter = (share) => el("span", { class: "meter", "aria-hidden": "true" }, el("span", { style: { width: `${(100 * share).toFixed(1)}%` } }));

/** What could not be scored, and why. @returns {Part} */
export function deadLetters() {
  /** @type {DataTable<DeadLetterReason & {share: number}>} */
  const table = new DataTable({
    caption: "Dead letters by reason",
    key: ({ reason }) => reason,
    columns: [
      {
        label: "Reason",
        header: true,
        cell: ({ reason }) => [el("code", null, reason), REASONS[reason] ? el("span", { class: "row-detail" }, REASONS[reason]) : null],
      },
      { label: "Share", wide: true, cell: ({ share }) => el("span", { class: "meter-line" }, meter(share), percent(share)) },
      { label: "Count", numeric: true, cell: ({ count }) => number(count) },
      {
        label: "Newest",
        hint: "Its partition and offset on the topic of dead letters",
        cell: ({ newest, newest_at: at }) => [el("code", null, `${newest.partition}/${newest.offset}`), el("span", { class: "row-detail" }, ago(at))],
      },
    ],
  });
  const lead = el("span");
  const place = el("div");
  const how = el("p", { class: "card-words" });
  const node = card("Dead letters", { lead, actions: [csvLink("dead-letters", {}, "dead letters by reason")] }, place, how);
  return {
    node,
    show: ({ dead_letters: told, why_no_dead_letters: why }) => {
      how.hidden = !told || told.total === 0;
      if (!told) {
        lead.textContent = "";
        const words = why ?? "the board does not know why";
        settle(place, words, () => note(sentence(`dead letters are not counted: ${words}`), "warning"));
        return;
      }
      lead.textContent = `Battles that could not be scored, since ${moment(told.since)}${told.complete ? "" : ": at least so many, for not all of them are read yet"}.`;
      const first = told.reasons[0];
      if (!first) {
        settle(place, "none", () => emptyState("None", "Every battle of the last day could be scored."));
        return;
      }
      table.show(told.reasons.map((one) => ({ ...one, share: one.count / Math.max(1, told.total) })));
      settle(place, "", () => table.node);
      const command = `prefstream dead-letters show ${spot(first.newest)}`;
      settle(how, command, () => ["To look at one: ", el("code", null, command)]);
    },
  };
}
