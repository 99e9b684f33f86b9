/** How often what was forecast came true, by how probable it was said to be. */

import { svg } from "../dom.js";
import { shareTold } from "../estimates.js";
import { percent, plural } from "../format.js";
import { chanceBand } from "./chance.js";
import { axes, chart } from "./frame.js";
import { span } from "./scale.js";

/** @typedef {import("../types.js").ReliabilityBin} ReliabilityBin */

const HEIGHT = 340;

/** Share of the height that the bars of counts take at most. */
const COUNTS = 0.18;

/** Of bins. */
const WIDTH = 0.1;

/** Of three outcomes the most probable one has a third at least: nothing stands further left. */
const FROM = 0.3;

/**
 * A dot a bin with its interval, the diagonal of a perfect panel, the band in which chance alone would put its dot in 19 of 20
 * cases, and bars of how many votes are in each bin. `update` shows others.
 *
 * @param {string} caption
 * @returns {HTMLElement & {update: (bins: readonly ReliabilityBin[]) => void}}
 */
export function reliabilityChart(caption) {
  /** @type {readonly ReliabilityBin[]} */
  let shown = [];
  const node = chart({ caption, height: HEIGHT, draw: (width, height) => draw(width, height, shown) });
  const update = (/** @type {readonly ReliabilityBin[]} */ bins) => {
    shown = bins;
    node.redraw();
  };
  return Object.assign(node, { update });
}

/** @param {number} width @param {number} height @param {readonly ReliabilityBin[]} bins */
function draw(width, height, bins) {
  const from = Math.min(FROM, ...bins.map((bin) => bin.low));
  const { nodes, area, px, py } = axes(width, height, {
    x: span(from, 1, 7),
    y: span(0, 1, 5),
    xText: percent,
    yText: percent,
    xTitle: "probability of the most probable outcome",
    yTitle: "how often it happened",
  });
  const most = Math.max(1, ...bins.map((bin) => bin.battles));
  for (const { low, battles, confidence } of bins) {
    const place = { x: px(low) + 1.5, width: Math.max(1, px(low + WIDTH) - px(low) - 3) };
    const tall = (battles / most) * COUNTS * area.height;
    const [least, greatest] = chanceBand(Math.round(battles), confidence);
    const chance = { y: py(greatest), height: Math.max(1, py(least) - py(greatest)) };
    nodes.push(
      svg("rect", { class: "chart-count", ...place, y: area.bottom - tall, height: tall }),
      svg("rect", { class: "chart-chance", ...place, ...chance, rx: 2 }),
    );
  }
  nodes.push(svg("line", { class: "chart-reference", x1: px(from), y1: py(from), x2: px(1), y2: py(1) }));
  for (const { battles, confidence, accuracy } of bins) {
    if (accuracy.value === null) continue;
    const at = px(confidence);
    const told = `Held for ${percent(confidence)}, happened ${shareTold(accuracy)}; ${plural(battles, "vote")}`;
    nodes.push(
      ...spread(at, accuracy, py),
      svg("circle", { class: "chart-dot", cx: at, cy: py(accuracy.value), r: 5 }, svg("title", null, told)),
    );
  }
  return nodes;
}

/**
 * An upright line from end to end of an interval; nothing where there is none.
 *
 * @param {number} at in pixels.
 * @param {import("../types.js").Estimate} estimate
 * @param {(value: number) => number} py
 * @param {string} [kind]
 */
export function spread(at, { low, high }, py, kind) {
  if (low === null || high === null) return [];
  return [svg("line", { class: "chart-spread", "data-kind": kind, x1: at, x2: at, y1: py(low), y2: py(high) })];
}
