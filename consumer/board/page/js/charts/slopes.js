/** How much the longer answer is liked, by how much longer it is: people against judges. */

import { svg } from "../dom.js";
import { shareTold } from "../estimates.js";
import { number, percent, plural } from "../format.js";
import { axes, chart } from "./frame.js";
import { spread } from "./reliability.js";
import { span } from "./scale.js";

/** @typedef {import("../types.js").LengthSlope} LengthSlope */

const HEIGHT = 300;

/** Straight pieces of a curve. */
const PIECES = 32;

/** Doublings that are shown at least, so that a chart of a few near ones is not all whiskers. */
const LEAST = 2;

/** Pixels from where a bin is to the people's dot on one side and the judges' on the other. */
const APART = 5;

/**
 * Bins as dots, and the curve of each slope with its band; both curves begin at an even chance. `update` shows others.
 *
 * @param {string} caption
 * @returns {HTMLElement & {update: (length: LengthSlope) => void}}
 */
export function slopeChart(caption) {
  /** @type {LengthSlope | null} */
  let shown = null;
  const node = chart({ caption, height: HEIGHT, draw: (width, height) => (shown ? draw(width, height, shown) : []) });
  const update = (/** @type {LengthSlope} */ length) => {
    shown = length;
    node.redraw();
  };
  return Object.assign(node, { update });
}

/** @param {number} width @param {number} height @param {LengthSlope} length */
function draw(width, height, { bins, people, judges }) {
  const farthest = Math.max(LEAST, ...bins.map(({ mean, high }) => Math.max(mean, high ?? mean))) + 0.15;
  const x = span(0, farthest);
  x.ticks = Array.from({ length: Math.floor(farthest) + 1 }, (_, doubling) => doubling);
  const { nodes, area, px, py } = axes(width, height, {
    x,
    y: span(0, 1, 5),
    xText: (doublings) => `${number(2 ** doublings)}×`,
    yText: percent,
    xTitle: "the longer answer is so many times as long",
    yTitle: "how often it wins",
  });
  nodes.push(svg("line", { class: "chart-reference", x1: area.left, x2: area.right, y1: py(0.5), y2: py(0.5) }));
  const places = Array.from({ length: PIECES + 1 }, (_, piece) => (farthest * piece) / PIECES);
  /** @param {number} slope */
  const curve = (slope) => places.map((at) => `${px(at).toFixed(1)},${py(1 / (1 + Math.exp(-slope * at))).toFixed(1)}`);
  for (const [kind, { value, low, high }] of /** @type {const} */ ([["people", people], ["judges", judges]])) {
    if (value === null) continue;
    if (low !== null && high !== null) {
      const points = [...curve(high), ...curve(low).reverse()].join(" ");
      nodes.push(svg("polygon", { class: "chart-band", "data-kind": kind, points }));
    }
    nodes.push(svg("polyline", { class: "chart-line", "data-kind": kind, points: curve(value).join(" ") }));
  }
  for (const { mean, votes, people: said, judges: judged } of bins) {
    const ratio = `${number(2 ** mean, 1)} times as long`;
    if (said.value !== null) {
      const at = px(mean) - APART;
      const told = `${ratio}: people ${shareTold(said)}; ${plural(votes, "vote")}`;
      nodes.push(
        ...spread(at, said, py, "people"),
        svg("circle", { class: "chart-dot", "data-kind": "people", cx: at, cy: py(said.value), r: 5 }, svg("title", null, told)),
      );
    }
    const side = 9;
    const square = { x: px(mean) + APART - side / 2, y: py(judged) - side / 2, width: side, height: side };
    const told = svg("title", null, `${ratio}: judges ${percent(judged)}`);
    nodes.push(svg("rect", { class: "chart-dot", "data-kind": "judges", ...square }, told));
  }
  return nodes;
}
