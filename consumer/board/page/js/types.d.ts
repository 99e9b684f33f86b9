/** Payloads of the board's API, as its OpenAPI document has them. */

/** Judges against whoever knows no more than how the votes before fell out. */
export interface AgainstPrior {
  prior_log_loss: Estimate;
  prior_accuracy: Estimate;
  /** The judges' minus the prior's; below 0: better than it. */
  log_loss: Estimate;
  /** The judges' minus the prior's; above 0: better than it. */
  accuracy: Estimate;
}

/** Judges against the figures that they were shipped with, which are of other battles and other people. */
export interface AgainstShipped {
  /** Now minus then; above 0: worse than then. */
  log_loss: Estimate;
  /** Now minus then; below 0: worse than then. */
  accuracy: Estimate;
  /** Now minus then; above 0: worse than then. */
  calibration_error: Estimate;
}

/** What the judges say of all battles of a window, voted on or not. */
export interface Answers {
  window: "day" | "week";
  battles: number;
  /** Mean, bits; None without a battle. */
  disagreement: number | null;
  /** Share of battles on which they disagree widely. */
  disagree: number | null;
  /** Mean, bits. */
  entropy: number | null;
  /** Mean distance between both orders; None where none was read in both. */
  position_gap: number | null;
  /** Share of verdicts that the order decides; None where nobody knows. */
  flipped: number | null;
  /** Share of battles of which a judge did not read all. */
  truncated: number | null;
}

/** Why a request is not answered. */
export interface ApiProblem {
  detail: string;
}

/** What went otherwise than it should. */
export interface BoardNote {
  at: string;
  /** A stable word. */
  kind: string;
  /** What happened, in words. */
  detail: string;
}

/** What was asked for. */
export interface BoardQuery {
  /** What strengths come from. */
  method: "both" | "votes" | "judges";
  /** Whether the effect of length and markdown is taken out of the strengths. */
  style_control: boolean;
  /** Only battles of this language, as battles have it. */
  language: string | null;
  /** Only what was published in the last day or week. */
  window: "all" | "week" | "day";
  /** Length of a slice of time. */
  step: "hour" | "day";
}

/** All that the board says, for one query. */
export interface BoardReport {
  query: BoardQuery;
  status: BoardStatus;
  strengths: StrengthTable;
  win_rates: WinRates;
  /** By votes alone, whatever the method. */
  ties: TieTable;
  /** Of the query's window; of all languages. */
  languages: LanguageTables;
  /** Of the query's language. */
  over_time: TimeSlices;
  trust: TrustReport;
  /** Of all languages, by the query's step. */
  trust_over_time: TrustTime;
  review: ReviewPage;
}

/** What the board rests on, and how far it has read. */
export interface BoardStatus {
  /** Of prefstream. */
  version: string;
  /** Where the last day and week end. */
  now: string;
  /** When the oldest preference was published that counts here; null: there is none yet. */
  since: string | null;
  /** When the newest one was published. */
  newest_preference_at: string | null;
  /** When the newest vote arrived. */
  newest_vote_at: string | null;
  /** Records on the topics that are not here yet; null where nobody knows. */
  behind: number | null;
  /** Why the board does not read, as /readyz has it; null where it does. */
  obstacle: string | null;
  fresh: Freshness;
  /** What whoever runs the board tells who looks at it: that judges are loading, say. */
  notice: string | null;
  /** Since then: preferences, votes, and what did not count (too_late, duplicate_battles, ...). */
  counters: Record<string, number>;
  /** The newest first. */
  notes: BoardNote[];
}

/** How common a category is in two groups. */
export interface CategoryShares {
  category: string;
  one: number;
  other: number;
}

/** How two groups of battles differ in something, beside what chance gives. */
export interface Contrast {
  what: string;
  /** Of the first group, of which this is known. */
  battles: number;
  other_battles: number;
  /** Of the first group; None where it has no mean. */
  mean: number | null;
  other_mean: number | null;
  /** Total variation: the share of one group that would have to be of other categories for both to be alike, 0 to 1; None where either has too few battles. */
  distance: number | null;
  /** Its mean where both are drawn from the same battles. */
  by_chance: number | null;
  /** What it then stays below in 99 of 100 cases. */
  by_chance_99: number | null;
  /** Above what chance stays below, and by a tenth above its mean: enough to matter. */
  differs: boolean;
  /** The categories that differ most. */
  most: CategoryShares[];
}

/** Battles and answers of a window against those of the weeks before. */
export interface Drift {
  window: "day" | "week";
  since: string;
  /** Where the weeks before begin. */
  compared_since: string;
  inputs: Contrast[];
  answers: Contrast[];
}

/** A number with its 95 % interval. */
export interface Estimate {
  /** None where there is nothing to measure it on. */
  value: number | null;
  /** None where fewer than two prompts leave nothing to resample. */
  low: number | null;
  high: number | null;
}

/** Whether the numbers are of now. */
export interface Freshness {
  ok: boolean;
  /** Why not, in words: the board does not read, it is behind, or battles wait that nobody answers. */
  why: string | null;
}

/** Strengths in one language. */
export interface LanguageTable {
  language: string;
  strengths: StrengthTable;
}

/** Strengths by language, the most used languages first. */
export interface LanguageTables {
  languages: LanguageTable[];
  /** Languages with too few battles for a table, or beyond the last. */
  left_out: number;
}

/** Votes with a winner whose answers differ about as much in length. */
export interface LengthBin {
  /** Least log2 of the longer answer's length by the shorter's. */
  low: number;
  /** From which on they are of the next bin; None: no end. */
  high: number | null;
  /** Of these votes' log2 ratio: where a point stands. */
  mean: number;
  votes: number;
  /** How often people preferred the longer answer. */
  people: Estimate;
  /** Mean of P(longer) / (P(A) + P(B)). */
  judges: number;
}

/** How much the longer answer is preferred, by how much longer it is. */
export interface LengthSlope {
  /** With a winner, on answers of different lengths, none empty. */
  votes: number;
  /** Slope as people decided; no value where the longer always won. */
  people: Estimate;
  /** Slope of the judges' P(longer) / (P(A) + P(B)) on these votes. */
  judges: Estimate;
  /** Judges minus people; above 0: judges like length more. */
  excess: Estimate;
  /** By log2 ratio, the least first; none without votes. */
  bins: LengthBin[];
}

/** How often the longer answer wins, over votes with a winner on answers of different lengths. */
export interface LongerWins {
  votes: number;
  /** As people decided. */
  people: Estimate;
  /** Mean of P(longer) / (P(A) + P(B)). */
  judges: Estimate;
  /** Judges minus people; above 0: judges like length more. */
  excess: Estimate;
}

/** A model's line on the board. */
export interface ModelLine {
  /** Line of the table: by rating, those without one last. */
  place: number;
  /** Name of the model, as battles have it. */
  model: string;
  /** Elo points: 400 are odds of 10 to 1, the mean of all is 1000. Null where there is none. */
  rating: number | null;
  /** Lower end of the rating's 95 % interval. */
  lower: number | null;
  /** Upper end. */
  upper: number | null;
  /** Best rank that is compatible with the data. */
  rank_low: number | null;
  /** Worst rank, likewise. */
  rank_high: number | null;
  /** Battles of this model that count here. */
  battles: number;
  /** Its votes: their weights' sum, where they were asked for. */
  votes: number;
  /** In words; null where there is an interval. */
  why_no_interval: string | null;
}

/** Votes that were not counted, by why. */
export interface NotCounted {
  /** The preference was published after the vote. */
  forecast_not_first: number;
  /** Nobody knows how probable it was that they were asked for, and such votes are left out. */
  without_weight: number;
}

/** How good forecasts were, by votes that came after them. */
export interface Quality {
  votes: number;
  battles: number;
  /** Nats. */
  log_loss: Estimate;
  /** Equally probable outcomes share the credit. */
  accuracy: Estimate;
  /** Expected; top outcome, 10 equal-width bins. */
  calibration_error: Estimate;
  /** Mean of what a perfect panel with these probabilities and votes would show. */
  calibration_error_by_chance: number;
  /** Its 95th percentile. */
  calibration_error_by_chance_95: number;
  against_prior: AgainstPrior;
}

/** The judges on some of the votes. */
export interface QualityOf {
  /** What these votes have in common, such as the language. */
  value: string;
  quality: Quality;
}

/** Battles whose top outcome has about the same probability. */
export interface ReliabilityBin {
  /** Lower end of the bin; it is a tenth wide. */
  low: number;
  battles: number;
  /** Mean probability of the top outcome. */
  confidence: number;
  /** How often it happened. */
  accuracy: Estimate;
}

/** A battle that a person should look at. */
export interface ReviewLine {
  id: string;
  /** vote: a person said what the panel held for improbable; disagreement: of the judges; entropy: the panel does not know; or what a later version has. */
  why: string;
  /** By which it is among the first, in bits; of a vote -log2 of its probability. */
  score: number;
  /** The vote's winner, where that is why. */
  said: string | null;
  /** Where it can be looked up; null without a template of links. */
  link: string | null;
  published_at: string;
  model_a: string | null;
  model_b: string | null;
  language: string | null;
  /** That the panel gave each outcome. */
  probabilities: Record<"model_a" | "model_b" | "tie", number>;
  /** Mean Jensen-Shannon divergence over pairs of judges, bits. */
  disagreement: number;
  /** Of the probabilities, bits. */
  entropy: number;
  /** Topic or file of the battle. */
  source: string;
  /** Of the topic; null in a file. */
  partition: number | null;
  /** On the partition; in a file the line. */
  offset: number;
}

/** Where a person should look: for each reason the most telling battles first. */
export interface ReviewPage {
  battles: ReviewLine[];
}

/** How battles with a vote differ from those without. */
export interface Selection {
  voted: number;
  others: number;
  contrasts: Contrast[];
}

/** The figures that a panel was shipped with, as `prefstream evaluate --json` wrote them. */
export interface Shipped {
  /** The labelled file that it was evaluated on. */
  file: string;
  /** Of prefstream, then. */
  version: string;
  battles: number;
  log_loss: Estimate;
  accuracy: Estimate;
  calibration_error: Estimate;
  calibration_error_by_chance: number;
  /** How much more it liked length than people did. */
  longer_excess: Estimate | null;
}

/** Strengths of models, best first. */
export interface StrengthTable {
  method: "both" | "votes" | "judges";
  /** What these strengths are, in words. */
  label: string;
  /** Whether it was done; where it could not be, notes say why. */
  style_control: boolean;
  models: ModelLine[];
  /** Empty without style control. */
  style: StyleLine[];
  /** Of both together, lambda of PPI++: how far the judges are relied upon, from 0: not at all. */
  judges_weight: number | null;
  /** Votes that went in. */
  votes: number;
  /** Battles with a preference that went in. */
  preferences: number;
  /** What a reader has to know. */
  notes: string[];
}

/** What a style is worth by itself, when models are equal. */
export interface StyleLine {
  name: string;
  /** Log-odds for a difference of one standard deviation; above 0: more of it wins. */
  coefficient: number;
  /** Lower end of its 95 % interval. */
  lower: number | null;
  /** Upper end. */
  upper: number | null;
}

/** A model's rating where ties are an outcome of their own. */
export interface TieLine {
  /** Name of the model, as battles have it. */
  model: string;
  /** Elo points of the battles that somebody won; the mean of all is 1000. */
  rating: number;
}

/** How often it is a tie. */
export interface TieRates {
  /** As people decided. */
  people: Estimate;
  /** Mean of P(tie). */
  judges: Estimate;
  /** Judges minus people. */
  excess: Estimate;
}

/** Davidson's model of votes, beside the table in which a tie is half a win. */
export interface TieTable {
  /** Best first; only models that votes give a rating. */
  models: TieLine[];
  /** Predicted share of ties between equal models, 0 to 1; null without votes. */
  ties_among_equals: number | null;
  /** Of these votes, which it was fitted to, in nats; null without votes. */
  log_loss: number | null;
  /** Likewise, were ties as frequent between any two models: above the other where near models tie more. */
  log_loss_with_ties_apart: number | null;
  /** Votes that went in. */
  votes: number;
}

/** Strengths in one stretch of time. */
export interface TimeSlice {
  start: string;
  end: string;
  strengths: StrengthTable;
}

/** Strengths over time, the oldest first. */
export interface TimeSlices {
  step: "hour" | "day";
  slices: TimeSlice[];
}

/** Whether the judges can be trusted now. */
export interface TrustReport {
  at: string;
  /** How votes are weighted that people were asked for, in words. */
  weighting: string;
  windows: TrustWindow[];
  answers: Answers[];
  drift: Drift[];
  selection: Selection;
  /** None where nobody said. */
  shipped: Shipped | null;
  /** What a person should know, a sentence each. */
  warnings: string[];
}

/** The judges by the votes of one hour or day. */
export interface TrustSlice {
  start: string;
  end: string;
  /** That are counted: the forecast came first. With few no figure is told. */
  votes: number;
  battles: number;
  /** Nats. */
  log_loss: Estimate;
  /** Equally probable outcomes share the credit. */
  accuracy: Estimate;
  /** Of whoever knows no more than how votes before fell out. */
  prior_log_loss: Estimate;
  /** Judges' length slope minus people's; None where too few votes with a winner say so. */
  length_excess: Estimate | null;
}

/** The judges over time. */
export interface TrustTime {
  step: "hour" | "day";
  /** The oldest first; none without counted votes. */
  slices: TrustSlice[];
}

/** The judges by the votes of the last day, or week. */
export interface TrustWindow {
  window: "day" | "week";
  since: string;
  until: string;
  /** That are counted: the forecast came first. */
  votes: number;
  not_counted: NotCounted;
  /** Why there are no figures; None where there are. */
  why_nothing: string | null;
  /** Hashes of the panels that answered. */
  panels: string[];
  quality: Quality | null;
  against_shipped: AgainstShipped | null;
  reliability: ReliabilityBin[];
  /** None where no length is known. */
  longer_wins: LongerWins | null;
  /** None where too few votes with a winner are on answers of known lengths. */
  length: LengthSlope | null;
  ties: TieRates | null;
  /** Those with enough votes, by their number. */
  languages: QualityOf[];
  /** `asked for` and `not asked for`, unweighted; empty where people were not asked. */
  by_review: QualityOf[];
}

/** How often one model wins against another; a tie is half a win. */
export interface WinRates {
  /** Of rows and of columns. */
  models: string[];
  /** Row against column by their ratings, 0 to 1; null on the diagonal and without ratings. */
  expected: ((number | null)[])[];
  /** What was seen of it; null where they never met. */
  observed: ((number | null)[])[];
  /** How often they met, weighted as votes are. */
  meetings: number[][];
}

/** Who looks, and what this board allows. */
export interface Session {
  version: string;
  token_required: boolean;
  signed_in: boolean;
  texts: boolean;
  battles: boolean;
}

export type OutcomeName = "model_a" | "model_b" | "tie";
export type Probabilities = Record<OutcomeName, number>;

export interface JudgeVerdict {
  name: string;
  kind: string;
  weight: number | null;
  probabilities: Probabilities;
  as_given: Probabilities | null;
  swapped: Probabilities | null;
  position_gap: number | null;
  cut: boolean;
}

/** A battle that was just judged. */
export interface Verdict {
  event: string;
  id: string;
  published_at: string;
  model_a: string | null;
  model_b: string | null;
  language: string | null;
  probabilities: Probabilities;
  preferred: OutcomeName;
  judges: JudgeVerdict[];
  left_out: string[];
  recused: string[];
  disagreement: number;
  entropy: number | null;
  adjusted: Probabilities | null;
  review_chosen: boolean | null;
  source: { topic: string; partition: number; offset: number } | { file: string; line: number };
  queue_s: number | null;
  tokenise_s: number | null;
  inference_s: number | null;
  style: Style | null;
}

export interface Verdicts {
  verdicts: Verdict[];
  id: string;
}

/** What `events` tells at once: the newest, and how many were left out. */
export interface VerdictsEvent {
  verdicts: Verdict[];
  skipped: number;
}

/** What one response looks like; none of its text. */
export interface StyleCounts {
  characters: number;
  lines: number;
  headings: number;
  list_items: number;
  bold: number;
  code_blocks: number;
  tables: number;
  links: number;
  digits: number;
}

export interface Style {
  a: StyleCounts;
  b: StyleCounts;
}

/** An input that became a dead letter just now. */
export interface NewDeadLetter {
  topic: string;
  partition: number;
  offset: number;
  reason: string;
  at: string;
}

export interface NewDeadLetters {
  dead_letters: NewDeadLetter[];
  /** How many more there were. */
  skipped: number;
}

/** What was published in one minute. */
export interface StreamMinute {
  at: string;
  battles: number;
  latency_p50_s: number | null;
  latency_p95_s: number | null;
  queue_s: number | null;
  tokenise_s: number | null;
  inference_s: number | null;
}

export interface PartitionLag {
  topic: string;
  partition: number;
  lag: number;
}

export interface GroupLag {
  total: number;
  partitions: PartitionLag[];
}

export interface DeadLetterReason {
  reason: string;
  count: number;
  newest_at: string;
  newest: { topic: string; partition: number; offset: number };
}

export interface DeadLetterCounts {
  since: string;
  total: number;
  complete: boolean;
  /** The most frequent first. */
  reasons: DeadLetterReason[];
}

/** What the stream does. */
/** Where a record stands. */
export interface RecordPlace {
  topic: string;
  partition: number;
  offset: number;
}

/** How much more probable each outcome is in the second set of answers, in the mean. */
export interface MeanShift {
  model_a: Estimate;
  model_b: Estimate;
  tie: Estimate;
}

/** How two sets of answers about the same battles differ. */
export interface Change {
  battles: number;
  prompts: number;
  /** Share of battles whose most probable outcome is another one. */
  changed: Estimate;
  /** Rows of numbers of battles: by the served verdict, and in a row by the other one, in the order A, B, tie. */
  verdicts: unknown[];
  shift: MeanShift;
  mean_absolute_difference: Estimate;
  /** Mean Jensen-Shannon divergence, bits. */
  divergence: Estimate;
}

/** A battle that a shadow answers otherwise. */
export interface ShadowBattle {
  id: string;
  source: RecordPlace;
  served: Probabilities;
  shadow: Probabilities;
}

/** How a shadow's newest answers differ from those that are served: the shadow's minus these. */
export interface ShadowReport {
  topic: string;
  compared: number;
  /** The board has no answer to their battle, yet or any more. */
  waiting: number;
  change: Change | null;
  most_changed: ShadowBattle[];
}

export interface StreamReport {
  now: string;
  /** The last hour, the oldest first; the last one is not over. */
  minutes: StreamMinute[];
  per_s: number | null;
  group: string | null;
  lag: GroupLag | null;
  why_no_lag: string | null;
  dead_letters: DeadLetterCounts | null;
  why_no_dead_letters: string | null;
  /** Null where none is looked at, or nobody knows. */
  shadow: ShadowReport | null;
  why_no_shadow: string | null;
}

/** Prompt and answers of one battle, turn by turn. */
export interface BattleTexts {
  id: string;
  prompt: string[];
  response_a: string[];
  response_b: string[];
}
