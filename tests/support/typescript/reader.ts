// A small reader of prefstream's topics. Its types are generated from the committed JSON Schemas; nothing is cast but
// what JSON.parse returns.

import type { Battle } from "./battle.js";
import type { DeadLetterHeaders, Reason } from "./dead-letter.js";
import type { FileSource, KafkaSource, Preference } from "./preference.js";
import type { Vote } from "./vote.js";

/** What stands on each topic: one JSON object a line. */
export interface Topics {
  battles: string;
  preferences: string;
  votes: string;
  deadLetters: string;
}

function lines<Message>(text: string): Message[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Message);
}

function turns(told: Battle["prompt"]): string[] {
  return typeof told === "string" ? [told] : told.map((turn) => turn ?? "");
}

function place(source: KafkaSource | FileSource): string {
  return "topic" in source
    ? `${source.topic}/${source.partition}/${source.offset}`
    : `${source.file}:${source.line}`;
}

function answer(preference: Preference) {
  const { probabilities, style, uncertainty, panel } = preference;
  return {
    id: preference.id,
    version: preference.schema_version,
    preferred: preference.preferred,
    chance: probabilities[preference.preferred],
    place: place(preference.source),
    judges: preference.judges.map((judge) => [judge.name, judge.provenance.kind, judge.weight ?? null]),
    uncalibrated: preference.judges.map((judge) => judge.uncalibrated?.tie ?? null),
    gaps: preference.judges.map((judge) => judge.position_gap ?? null),
    leftOut: preference.left_out ?? [],
    models: [preference.model_a ?? null, preference.model_b ?? null],
    characters: style === undefined ? null : [style.a.characters, style.b.characters],
    entropy: uncertainty?.entropy ?? null,
    panel: panel?.hash ?? null,
    scoredAt: preference.timings === undefined ? null : Date.parse(preference.timings.scored_at),
  };
}

export function read(topics: Topics) {
  const reasons: Reason[] = lines<DeadLetterHeaders>(topics.deadLetters).map((headers) => headers["prefstream.reason"]);
  return {
    battles: lines<Battle>(topics.battles).map((battle) => [
      String(battle.id),
      turns(battle.prompt),
      battle.model_a ?? null,
      battle.response_id_a === undefined || battle.response_id_a === null ? null : String(battle.response_id_a),
    ]),
    preferences: lines<Preference>(topics.preferences).map(answer),
    votes: lines<Vote>(topics.votes).map((vote) => [String(vote.id), vote.winner === "both_bad" ? "tie" : vote.winner]),
    reasons,
  };
}
