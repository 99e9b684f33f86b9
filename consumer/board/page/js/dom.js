/**
 * Elements without markup: what others wrote (names, ids) only ever becomes text.
 *
 * The page's policy forbids `innerHTML` and `style` attributes; `style` here goes through the object model, which it allows.
 */

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {{
 *   class?: string,
 *   style?: Record<string, string | number>,
 *   on?: Record<string, (event: any) => void>,
 *   [attribute: string]: unknown,
 * }} Props
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {Element} node
 * @param {Props | null | undefined} props
 */
function dress(node, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [type, handler] of Object.entries(/** @type {Record<string, EventListener>} */ (value))) {
        node.addEventListener(type, handler);
      }
    } else if (name === "style") {
      for (const [property, told] of Object.entries(/** @type {Record<string, string | number>} */ (value))) {
        /** @type {HTMLElement | SVGElement} */ (node).style.setProperty(property, String(told));
      }
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

/**
 * @param {Child | Child[]} child
 * @returns {(Node | string)[]}
 */
function nodes(child) {
  if (Array.isArray(child)) return child.flatMap(nodes);
  if (child === null || child === undefined || child === false) return [];
  return [typeof child === "number" ? String(child) : child];
}

/**
 * An element. `props` are attributes (true: without a value; null, undefined, false: none), beside `style` (properties,
 * custom ones too) and `on` (listeners). Texts become text.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Props | null} [props]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, props, ...children) {
  const node = document.createElement(tag);
  dress(node, props);
  node.append(...children.flatMap(nodes));
  return node;
}

/**
 * The same for SVG.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Props | null} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  dress(node, attributes);
  node.append(...children.flatMap(nodes));
  return node;
}

/**
 * Put these in place of what a node holds.
 *
 * @template {Element | DocumentFragment} Parent
 * @param {Parent} parent
 * @param {...(Child | Child[])} children
 * @returns {Parent}
 */
export function replace(parent, ...children) {
  parent.replaceChildren(...children.flatMap(nodes));
  return parent;
}

/**
 * Write a text only where it is another: a screen reader repeats a live region that is written again.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Attributes that may change; null takes one away.
 *
 * @param {Element} node
 * @param {Record<string, string | number | null>} attributes
 */
export function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, String(value));
  }
}

// Asked for once: Chromium keeps what it made for each question for as long as the page is open.
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** @returns {boolean} whether the reader asked for no motion. */
export function prefersStill() {
  return still.matches;
}

/**
 * Children of a node by key: those that are there are kept and updated, those that are gone go, new ones are made, and all
 * stand in the order of the items. What is focused stays focused: nothing is made anew, and the row that it is in is not
 * moved (a browser takes the focus from what is), the others are.
 *
 * @template Item
 * @template {HTMLElement | SVGElement} Row
 */
export class KeyedRows {
  /**
   * @param {Element} parent holds these rows and nothing else.
   * @param {{
   *   key: (item: Item) => string,
   *   create: (item: Item) => Row,
   *   update?: (row: Row, item: Item) => void,
   *   moves?: boolean,
   * }} how `update` is called for new rows, too; `moves`: rows glide to their new places.
   */
  constructor(parent, how) {
    this.parent = parent;
    this.how = how;
    /** @type {Map<string, Row>} */
    this.rows = new Map();
  }

  /** @param {readonly Item[]} items */
  show(items) {
    const { key, create, update, moves } = this.how;
    /** @type {Map<string, Row>} */
    const rows = new Map();
    for (const item of items) {
      const name = key(item);
      if (rows.has(name)) continue;
      const row = this.rows.get(name) ?? create(item);
      update?.(row, item);
      rows.set(name, row);
    }
    const order = [...rows.values()];
    const moved = order.some((row, place) => this.parent.children[place] !== row);
    const before = moves && moved && !prefersStill() ? places(this.rows) : null;
    this.rows = rows;
    if (!moved && this.parent.childElementCount === order.length) return;
    const wanted = new Set(/** @type {Element[]} */ (order));
    for (const child of [...this.parent.children]) if (!wanted.has(child)) child.remove();
    this.#arrange(order);
    if (before) glide(rows, before);
  }

  /** Put them in order. @param {readonly Row[]} order */
  #arrange(order) {
    const held = order.find((row) => row.contains(document.activeElement));
    let there = this.parent.firstElementChild;
    for (const row of order) {
      while (row === held && there && there !== row) {
        const behind = there; // its turn comes
        there = there.nextElementSibling;
        this.parent.append(behind);
      }
      if (row === there) there = there.nextElementSibling;
      else this.parent.insertBefore(row, there);
    }
  }
}

/** Rows that are farther from the screen are not watched anyway, and a hundred animations at a time are not calm. */
const NEAR_PX = 300;
const MOST_GLIDING = 40;
const GLIDE_MS = 420;

/**
 * @param {Map<string, Element>} rows
 * @returns {Map<string, number>} their tops, of those on or near the screen.
 */
function places(rows) {
  /** @type {Map<string, number>} */
  const tops = new Map();
  for (const [name, row] of rows) {
    const box = row.getBoundingClientRect();
    if (box.bottom > -NEAR_PX && box.top < innerHeight + NEAR_PX) tops.set(name, box.top);
    else if (tops.size > 0) break; // they stand in order
  }
  return tops;
}

/**
 * @param {Map<string, Element>} rows
 * @param {Map<string, number>} before
 */
function glide(rows, before) {
  const ways = [...before].flatMap(([name, top]) => {
    const row = rows.get(name);
    const way = row ? top - row.getBoundingClientRect().top : 0;
    return row && Math.abs(way) > 1 ? [{ row, way }] : [];
  });
  if (ways.length > MOST_GLIDING) return;
  for (const { row, way } of ways) {
    row.animate([{ transform: `translateY(${way}px)` }, { transform: "none" }], {
      duration: GLIDE_MS,
      easing: "cubic-bezier(.2, .7, .2, 1)",
    });
  }
}
