/** Said against happened: how often what was told with some confidence came true, with intervals, beside the diagonal. */

import { svg } from "../dom.js";
import { percent } from "../format.js";
import { axes, chart } from "./frame.js";
import { span } from "./scale.js";

/**
 * @typedef {{said: number, happened: number, low: number | null, high: number | null, count: number, title?: string}} Bin of
 *   forecasts: all numbers but `count` are shares from 0 to 1.
 * @typedef {{caption: string, bins: readonly Bin[], xTitle?: string, yTitle?: string, height?: number, from?: number}} Told
 *   `from`: where both axes begin.
 */

const HEIGHT = 300;

/**
 * A figure; `update` shows other bins. A dot's area grows with its count.
 *
 * @param {Told} first
 * @returns {HTMLElement & {update: (told: Told) => void}}
 */
export function reliabilityChart(first) {
  let told = first;
  const node = chart({ caption: told.caption, height: told.height ?? HEIGHT, draw: (width, height) => draw(width, height, told) });
  /** @param {Told} next */
  const update = (next) => {
    told = next;
    node.setCaption(next.caption);
    node.redraw();
  };
  return Object.assign(node, { update });
}

/** @param {number} width @param {number} height @param {Told} told @returns {Node[]} */
function draw(width, height, { bins, xTitle = "said", yTitle = "happened", from = 0 }) {
  const scale = span(from, 1, 5);
  const { nodes, px, py } = axes(width, height, { x: scale, y: scale, xText: percent, yText: percent, xTitle, yTitle });
  nodes.push(svg("line", { class: "chart-reference", x1: px(from), y1: py(from), x2: px(1), y2: py(1) }));
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  const ordered = [...bins].sort((one, other) => one.said - other.said);
  const path = ordered.map((bin) => `${px(bin.said)},${py(bin.happened)}`).join(" ");
  if (ordered.length > 1) nodes.push(svg("polyline", { class: "chart-line thin", points: path }));
  for (const bin of ordered) {
    const at = px(bin.said);
    if (bin.low !== null && bin.high !== null) {
      nodes.push(svg("line", { class: "chart-spread", x1: at, x2: at, y1: py(bin.low), y2: py(bin.high) }));
    }
    const dot = { class: "chart-dot", cx: at, cy: py(bin.happened), r: 3 + 5 * Math.sqrt(bin.count / most) };
    nodes.push(svg("circle", dot, svg("title", null, bin.title ?? `${bin.count}`)));
  }
  return nodes;
}
