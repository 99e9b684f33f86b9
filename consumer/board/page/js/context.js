/** What a view is given. */

/**
 * @typedef {Record<string, string>} ViewQuery the view's part of the address.
 *
 * @typedef {{
 *   api: typeof import("./api.js"),
 *   events: import("./events.js").Events,
 *   session: import("./types.js").Session,
 *   query: ViewQuery,
 *   status: () => import("./types.js").BoardStatus | null,
 *   go: (query: Record<string, string | undefined>, options?: {view?: string, replace?: boolean}) => void,
 *   signal: AbortSignal,
 * }} Context `query`: at the time of `mount`; `status`: the newest one; `go`: change parts of the query (undefined takes one
 *   away) or, with `view`, go there with this query alone; `replace`: without a step in the browser's history; `signal`: ends
 *   when the view is left: give it to `api.get` and `events.on`.
 *
 * @typedef {{
 *   title: string,
 *   mount: (root: HTMLElement, context: Context) => void,
 *   update: (query: ViewQuery) => void,
 *   unmount: () => void,
 * }} View `update`: the query changed while it is shown.
 */

export {};
