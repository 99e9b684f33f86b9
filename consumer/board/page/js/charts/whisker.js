/** A value as a dot and its interval as whiskers, on an axis that rows share. */

import { setAttributes, svg } from "../dom.js";

/** @typedef {import("./scale.js").Scale} Scale */

/** @param {number} share @returns {string} */
const at = (share) => `${(100 * Math.min(1.02, Math.max(-0.02, share))).toFixed(2)}%`;

/**
 * As wide as its place; hidden from screen readers, for the numbers stand beside it.
 *
 * @returns {SVGSVGElement & {update: (told: {value: number | null, low: number | null, high: number | null, scale: Scale}) => void}}
 */
export function whisker() {
  const line = svg("line", { class: "whisker-line", y1: "50%", y2: "50%" });
  const ends = [svg("line", { class: "whisker-end" }), svg("line", { class: "whisker-end" })];
  const dot = svg("circle", { class: "whisker-dot", cy: "50%", r: 5 });
  const node = svg("svg", { class: "whisker", "aria-hidden": "true", focusable: "false" }, line, ends, dot);
  /** @param {{value: number | null, low: number | null, high: number | null, scale: Scale}} told */
  const update = ({ value, low, high, scale }) => {
    const sure = low !== null && high !== null;
    node.dataset.sure = String(sure);
    node.toggleAttribute("hidden", value === null);
    if (value === null) return;
    setAttributes(dot, { cx: at(scale(value)) });
    if (!sure) return;
    setAttributes(line, { x1: at(scale(low)), x2: at(scale(high)) });
    [low, high].forEach((end, place) => {
      const mark = ends[place];
      if (mark) setAttributes(mark, { x1: at(scale(end)), x2: at(scale(end)), y1: "32%", y2: "68%" });
    });
  };
  return Object.assign(node, { update });
}

/**
 * Grid lines at a scale's ticks, as a background that cells of many rows share: a custom property's value.
 *
 * @param {Scale} scale
 */
export function grid(scale) {
  return scale.ticks
    .map((tick) => {
      const place = `${(100 * scale(tick)).toFixed(2)}%`;
      return `linear-gradient(to right, transparent calc(${place} - .5px), var(--grid-line) calc(${place} - .5px) calc(${place} + .5px), transparent calc(${place} + .5px))`;
    })
    .join(", ");
}
