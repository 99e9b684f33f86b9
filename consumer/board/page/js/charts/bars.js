/** A bar for each slice of time. */

import { svg } from "../dom.js";
import { number } from "../format.js";
import { axes, chart } from "./frame.js";
import { span } from "./scale.js";
import { timeTicks } from "./time.js";

/** @typedef {{at: number, value: number, title: string}} Bar `at`: its beginning, ms since the epoch. */

const HEIGHT = 200;

/** Pixels that a tick of time needs. */
export const TICK_PX = 80;

/**
 * A figure; `update` shows others.
 *
 * @param {{caption: string, stepMs: number, yTitle?: string}} told `stepMs`: length of a slice.
 * @returns {HTMLElement & {update: (bars: readonly Bar[], caption: string) => void}}
 */
export function barChart({ caption, stepMs, yTitle }) {
  /** @type {readonly Bar[]} */
  let shown = [];
  const node = chart({ caption, height: HEIGHT, draw: (width, height) => draw(width, height, shown, stepMs, yTitle) });
  const update = (/** @type {readonly Bar[]} */ bars, /** @type {string} */ words) => {
    shown = bars;
    node.setCaption(words);
    node.redraw();
  };
  return Object.assign(node, { update });
}

/** @param {number} width @param {number} height @param {readonly Bar[]} bars @param {number} stepMs @param {string} [yTitle] */
function draw(width, height, bars, stepMs, yTitle) {
  const from = bars[0]?.at ?? 0;
  const to = (bars.at(-1)?.at ?? 0) + stepMs;
  const most = Math.max(1, ...bars.map(({ value }) => value));
  const x = span(from, to);
  const time = timeTicks(from, to, Math.max(2, Math.floor(width / TICK_PX)));
  x.ticks = time.ticks;
  const y = span(0, most * 1.04, Math.min(4, most));
  const { nodes, area, px, py } = axes(width, height, { x, y, xText: time.text, yText: (value) => number(value), yTitle });
  const thick = Math.max(1, px(from + stepMs) - px(from));
  const gap = Math.min(2, thick / 4);
  for (const { at, value, title } of bars) {
    const place = { x: px(at) + gap / 2, width: Math.max(0.5, thick - gap) };
    nodes.push(
      svg(
        "g",
        { class: "chart-slice" },
        svg("title", null, title),
        // As high as the chart, so that who points above a low bar is told, too.
        svg("rect", { class: "chart-reach", x: px(at), width: thick, y: area.top, height: Math.max(0, area.height) }),
        svg("rect", { class: "chart-bar", ...place, y: py(value), height: area.bottom - py(value), rx: gap }),
      ),
    );
  }
  return nodes;
}
