/** What charts with two axes share: a figure that is drawn anew where its width changes, axes, grid and words. */

import { el, replace, svg } from "../dom.js";

/**
 * @typedef {import("./scale.js").Scale} Scale
 * @typedef {{left: number, right: number, top: number, bottom: number, width: number, height: number}} Area of the plot.
 * @typedef {{
 *   x: Scale,
 *   y: Scale,
 *   xText?: (value: number) => string,
 *   yText?: (value: number) => string,
 *   yTitle?: string,
 *   xTitle?: string,
 * }} Axes
 */

const LABEL_PX = 6.6;
/** Room for a date between two ticks. */
const TICK_ROOM_PX = 64;

/**
 * A chart with its words. It is an image to a screen reader, whose name is the caption: the numbers have to be in it, or in a
 * table beside it.
 *
 * @param {{caption: string, height: number, draw: (width: number, height: number) => (Node | Node[])}} what
 * @returns {HTMLElement & {redraw: () => void, setCaption: (text: string) => void}}
 */
export function chart({ caption, height, draw }) {
  const canvas = svg("svg", { class: "chart", height, role: "img", focusable: "false" });
  const words = el("figcaption", { class: "chart-caption" });
  const node = el("figure", { class: "chart-figure" }, canvas, words);
  let width = 0;
  const redraw = () => {
    if (width > 0) replace(canvas, draw(width, height));
  };
  const watcher = new ResizeObserver(([entry]) => {
    const now = Math.floor(entry?.contentRect.width ?? 0);
    if (now === width) return;
    width = now;
    redraw();
  });
  watcher.observe(node);
  /** @param {string} text */
  const setCaption = (text) => {
    words.textContent = text;
    canvas.setAttribute("aria-label", text);
  };
  setCaption(caption);
  return Object.assign(node, { redraw, setCaption });
}

/**
 * Axes with grid lines.
 *
 * @param {number} width
 * @param {number} height
 * @param {Axes} axes
 * @returns {{nodes: Node[], area: Area, px: (value: number) => number, py: (value: number) => number}}
 */
export function axes(width, height, { x, y, xText = String, yText = String, yTitle, xTitle }) {
  const widest = Math.max(...y.ticks.map((tick) => yText(tick).length), 1);
  const left = 10 + LABEL_PX * widest;
  const top = yTitle ? 24 : 10;
  const bottom = height - (xTitle ? 40 : 24);
  const right = width - 12;
  /** @type {Area} */
  const area = { left, right, top, bottom, width: right - left, height: bottom - top };
  /** @param {number} value */
  const px = (value) => area.left + x(value) * area.width;
  /** @param {number} value */
  const py = (value) => area.bottom - y(value) * area.height;
  const every = Math.max(1, Math.ceil((x.ticks.length * TICK_ROOM_PX) / Math.max(area.width, 1)));
  const nodes = [
    ...y.ticks.map((tick) =>
      svg(
        "g",
        { class: "chart-tick" },
        svg("line", { x1: left, x2: right, y1: py(tick), y2: py(tick) }),
        svg("text", { x: left - 8, y: py(tick), dy: ".32em", "text-anchor": "end" }, yText(tick)),
      ),
    ),
    ...x.ticks
      .filter((_, place) => place % every === 0)
      .map((tick) =>
        svg(
          "text",
          { class: "chart-tick-text", x: px(tick), y: bottom + 17, "text-anchor": "middle" },
          xText(tick),
        ),
      ),
  ];
  if (yTitle) nodes.push(svg("text", { class: "chart-title", x: 0, y: 11 }, yTitle));
  if (xTitle) {
    const middle = (left + right) / 2;
    nodes.push(svg("text", { class: "chart-title", x: middle, y: height - 4, "text-anchor": "middle" }, xTitle));
  }
  return { nodes, area, px, py };
}
