/** Lines over time (or another number), each with the band of its interval. */

import { svg } from "../dom.js";
import { axes, chart } from "./frame.js";
import { linear, span } from "./scale.js";

/**
 * @typedef {{x: number, y: number | null, low?: number | null, high?: number | null, title?: string}} Point
 * @typedef {{name: string, points: readonly Point[], kind?: string}} Series `kind`: its colour: `accent` (the default), `a`,
 *   `b`, `tie`, or `muted`.
 * @typedef {{
 *   caption: string,
 *   series: readonly Series[],
 *   xTicks?: number[],
 *   xText?: (value: number) => string,
 *   yText?: (value: number) => string,
 *   xTitle?: string,
 *   yTitle?: string,
 *   height?: number,
 *   include?: number[],
 *   least?: number,
 *   reference?: {y: number, text: string} | null,
 * }} Lines `xTicks`: where ticks stand, else at round values; `include`: values
 *   that the y axis shows in any case; `least`: it spans no less; `reference`: a dashed line.
 */

const HEIGHT = 200;
/** Points that stand nearer would hide each other. */
const DOT_ROOM_PX = 14;

/**
 * A figure; `update` shows other numbers. A gap (`y: null`) interrupts the line.
 *
 * @param {Lines} first
 * @returns {HTMLElement & {update: (told: Lines) => void}}
 */
export function lineChart(first) {
  let told = first;
  const node = chart({ caption: told.caption, height: told.height ?? HEIGHT, draw: (width, height) => draw(width, height, told) });
  /** @param {Lines} next */
  const update = (next) => {
    told = next;
    node.setCaption(next.caption);
    node.redraw();
  };
  return Object.assign(node, { update });
}

/** @param {number} width @param {number} height @param {Lines} told @returns {Node[]} */
function draw(width, height, { series, xTicks, xText, yText, xTitle, yTitle, include = [], least = 0, reference = null }) {
  const points = series.flatMap((one) => one.points);
  const values = points.flatMap((point) => [point.y, point.low, point.high]).filter((value) => typeof value === "number");
  const all = reference ? [...include, reference.y] : include;
  const y = linear(values, { include: all, least, about: Math.max(2, Math.floor(height / 46)) });
  const xs = points.map((point) => point.x);
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const x = high > low ? span(low, high) : span(low - 1, low + 1);
  const marks = [...new Set(xs)].sort((a, b) => a - b);
  if (xTicks) x.ticks = xTicks.filter((tick) => tick >= low && tick <= high);
  else if (marks.length <= 40) x.ticks = marks; // each stretch of time by its name, not at round milliseconds
  const frame = axes(width, height, { x, y, xText, yText, xTitle, yTitle });
  const nodes = [...frame.nodes];
  if (reference) {
    const level = frame.py(reference.y);
    nodes.push(
      svg("line", { class: "chart-reference", x1: frame.area.left, x2: frame.area.right, y1: level, y2: level }),
      svg("text", { class: "chart-title", x: frame.area.right, y: level - 5, "text-anchor": "end" }, reference.text),
    );
  }
  for (const one of series) nodes.push(...drawSeries(one, frame));
  return nodes;
}

/** @param {Series} series @param {ReturnType<typeof axes>} frame @returns {Node[]} */
function drawSeries({ points, kind = "accent", name }, { px, py, area }) {
  /** @type {Point[][]} */
  const stretches = [[]];
  for (const point of points) {
    if (point.y === null) stretches.push([]);
    else stretches.at(-1)?.push(point);
  }
  const nodes = [];
  for (const stretch of stretches.filter((one) => one.length > 0)) {
    const sure = stretch.filter((point) => typeof point.low === "number" && typeof point.high === "number");
    if (sure.length > 1) {
      const upper = sure.map((point) => `${px(point.x)},${py(point.high ?? 0)}`);
      const lower = sure.map((point) => `${px(point.x)},${py(point.low ?? 0)}`).reverse();
      nodes.push(svg("polygon", { class: "chart-band", "data-kind": kind, points: [...upper, ...lower].join(" ") }));
    } else if (sure[0]) {
      const at = px(sure[0].x);
      const ends = { x1: at, x2: at, y1: py(sure[0].low ?? 0), y2: py(sure[0].high ?? 0) };
      nodes.push(svg("line", { class: "chart-spread", "data-kind": kind, ...ends }));
    }
    const path = stretch.map((point) => `${px(point.x)},${py(point.y ?? 0)}`).join(" ");
    nodes.push(svg("polyline", { class: "chart-line", "data-kind": kind, points: path }));
    if (stretch.length === 1 || area.width / points.length > DOT_ROOM_PX) {
      for (const point of stretch) {
        const title = svg("title", null, point.title ?? name);
        nodes.push(svg("circle", { class: "chart-dot", "data-kind": kind, cx: px(point.x), cy: py(point.y ?? 0), r: 3.5 }, title));
      }
    }
  }
  return nodes;
}
