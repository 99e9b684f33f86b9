/** Numbers, intervals and times as text. What is not known is a dash. */

export const NOTHING = "–";

/** Between a number and its unit, which stand on one line. */
const UNIT = "\u00a0";

/** @param {number} most @param {number} [least] */
const digits = (most, least = most) =>
  new Intl.NumberFormat("en-US", { maximumFractionDigits: most, minimumFractionDigits: least });

const WHOLE = digits(0);
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
/** @type {Map<number, Intl.NumberFormat>} */
const BY_DIGITS = new Map();

/**
 * @param {number | null | undefined} value
 * @param {number} [places] after the point.
 */
export function number(value, places = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  if (places === 0) return WHOLE.format(value).replace(/^-/, "\u2212");
  let format = BY_DIGITS.get(places);
  if (!format) BY_DIGITS.set(places, (format = digits(places)));
  return format.format(value).replace(/^-/, "\u2212");
}

/** With a sign: `+12`, `−3`. @param {number | null | undefined} value @param {number} [places] */
export function signed(value, places = 0) {
  const text = number(value, places);
  return typeof value === "number" && value > 0 ? `+${text}` : text;
}

/** Large counts in little room: `1.2K`. @param {number | null | undefined} value */
export function short(value) {
  return value === null || value === undefined ? NOTHING : SHORT.format(value);
}

/**
 * A probability or share as `63 %`; what is near to nothing or to all is told as such.
 *
 * @param {number | null | undefined} value 0 to 1.
 * @param {number} [places]
 */
export function percent(value, places = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  const least = 10 ** -(places + 2);
  if (value > 0 && value < least / 2) return `<${number(100 * least, places)}${UNIT}%`;
  if (value < 1 && value > 1 - least / 2) return `>${number(100 * (1 - least), places)}${UNIT}%`;
  return `${number(100 * value, places)}${UNIT}%`;
}

/**
 * `[1,021, 1,066]`; a dash where an end is not known.
 *
 * @param {number | null | undefined} lower
 * @param {number | null | undefined} upper
 * @param {number} [places]
 */
export function range(lower, upper, places = 0) {
  const known = typeof lower === "number" && typeof upper === "number";
  return known ? `[${number(lower, places)}, ${number(upper, places)}]` : NOTHING;
}

/**
 * A value with its 95 % interval: `1,043 [1,021, 1,066]`; alone where there is no interval.
 *
 * @param {number | null | undefined} value
 * @param {number | null | undefined} lower
 * @param {number | null | undefined} upper
 * @param {number} [places]
 */
export function interval(value, lower, upper, places = 0) {
  const told = range(lower, upper, places);
  return told === NOTHING ? number(value, places) : `${number(value, places)} ${told}`;
}

/**
 * The same of an `Estimate` of the API.
 *
 * @param {import("./types.js").Estimate | null | undefined} estimate
 * @param {number} [places]
 */
export function estimate(estimate, places = 3) {
  return estimate ? interval(estimate.value, estimate.low, estimate.high, places) : NOTHING;
}

/** `1 battle`, `2 battles`. @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** `A`, `A and B`, `A, B and 3 more`. @param {readonly string[]} names @param {number} [most] */
export function list(names, most = 3) {
  if (names.length <= 1) return names.join("");
  const shown = names.length > most ? names.slice(0, most - 1) : names.slice(0, -1);
  const rest = names.length - shown.length;
  return `${shown.join(", ")} and ${rest === 1 ? names.at(-1) : `${rest} more`}`;
}

/**
 * Seconds as people say them: `380 ms`, `4.2 s`, `3 min`, `5 h`, `2 days`.
 *
 * @param {number | null | undefined} seconds
 */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NOTHING;
  if (seconds < 0.00005) return `0${UNIT}s`;
  if (seconds < 1) return `${number(1000 * seconds, seconds < 0.01 ? 1 : 0)}${UNIT}ms`;
  if (seconds < 60) return `${number(seconds, seconds < 10 ? 1 : 0)}${UNIT}s`;
  if (seconds < 5400) return `${number(seconds / 60)}${UNIT}min`;
  if (seconds < 172_800) return `${number(seconds / 3600)}${UNIT}h`;
  return `${number(seconds / 86_400)}${UNIT}days`;
}

/**
 * How long ago: `just now`, `12 s ago`, `3 min ago`.
 *
 * @param {string | number | Date | null | undefined} moment
 * @param {number} [now] milliseconds.
 */
export function ago(moment, now = Date.now()) {
  if (moment === null || moment === undefined) return NOTHING;
  const seconds = Math.max(0, (now - new Date(moment).getTime()) / 1000);
  if (seconds < 5) return "just now";
  return seconds < 60 ? `${Math.floor(seconds)}${UNIT}s ago` : `${duration(seconds)} ago`;
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const MOMENT = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
});
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const UTC_DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const SHORT_CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** `3 Nov 2026`, in the reader's zone. @param {string | number | Date} moment */
export const day = (moment) => DAY.format(new Date(moment));
/** `3 Nov 2026, 14:05`. @param {string | number | Date} moment */
export const moment = (moment) => MOMENT.format(new Date(moment));
/** `14:05:07`. @param {string | number | Date} moment */
export const clock = (moment) => CLOCK.format(new Date(moment));
/** `3 Nov`. @param {string | number | Date} moment */
export const shortDay = (moment) => SHORT_DAY.format(new Date(moment));
/** The same of a day that the board sums up: one of UTC, which begins on the day before in America. @param {string | number | Date} moment */
export const utcDay = (moment) => UTC_DAY.format(new Date(moment));
/** `14:05`. @param {string | number | Date} moment */
export const shortClock = (moment) => SHORT_CLOCK.format(new Date(moment));
