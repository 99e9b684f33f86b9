/** What is shown, kept in the address: `#board?method=votes&style=1`. Links can be shared, and a reload changes nothing. */

/** @typedef {Record<string, string>} Query */
/** @typedef {{view: string, query: Query}} Place */

/** @param {string} hash @param {string} fallback view where none is named. @returns {Place} */
export function parse(hash, fallback) {
  const [view = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
  return { view: view || fallback, query: Object.fromEntries(new URLSearchParams(search)) };
}

/** The address of a view; what is empty or undefined is left out. @param {string} view @param {Record<string, string | undefined>} [query] */
export function address(view, query = {}) {
  const told = Object.entries(query).flatMap(([name, value]) => (value ? [[name, value]] : []));
  const search = new URLSearchParams(told).toString();
  return `#${view}${search && `?${search}`}`;
}
