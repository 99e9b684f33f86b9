/** Requests to the board's API. Every address is relative, so that the page works under any path. */

const BASE = "api/v1/";

/** What the API refused, or could not be asked. `status` is 0 where there was no answer. */
export class ApiError extends Error {
  /** @param {number} status @param {string} detail @param {number | null} [retryAfterS] */
  constructor(status, detail, retryAfterS = null) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.detail = detail;
    this.retryAfterS = retryAfterS;
  }
}

/** @typedef {Record<string, string | number | boolean | null | undefined>} Query */

/** @type {() => void} */
let onSignedOut = () => {};

/** What is done where the API wants a token. @param {() => void} handler */
export function whenSignedOut(handler) {
  onSignedOut = handler;
}

/** @type {() => void} */
let onOld = () => {};

/** What is done where an answer is no longer fresh, and a newer one is being computed. @param {() => void} handler */
export function whenOld(handler) {
  onOld = handler;
}

/** Seconds for which an answer may not have been fresh: an old one is better than none for as long as a newer one takes. */
const MAX_STALE_S = 3600;

/** Seconds for which it has not been, from which on it is asked for again: more than lie between both questions. */
const OLD_S = 3;

/**
 * The address of something of the API; what is null, undefined or empty is left out of the query.
 *
 * @param {string} path such as `models` or `tables/models.csv`.
 * @param {Query} [query]
 */
export function url(path, query = {}) {
  const told = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const search = new URLSearchParams(told.map(([name, value]) => [name, String(value)])).toString();
  return BASE + path + (search && `?${search}`);
}

/**
 * Ask for JSON. The browser keeps answers by their ETag, so what has not changed costs a header. The answer may be an old
 * one, of which the board says so: then whoever is told by `whenOld` sees to it that it is asked for again.
 *
 * @template Payload
 * @param {string} path
 * @param {Query} [query]
 * @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<Payload>}
 */
export async function get(path, query = {}, { signal } = {}) {
  const headers = { Accept: "application/json", "Cache-Control": `max-stale=${MAX_STALE_S}` };
  const response = await send(url(path, query), { signal, headers });
  const ttl = /;\s*ttl=(-?\d+)/.exec(response.headers.get("Cache-Status") ?? "")?.[1];
  if (Number(ttl ?? 0) < -OLD_S) onOld();
  return response.json();
}

/**
 * Send JSON; what is answered, or null where nothing is.
 *
 * @template Payload
 * @param {string} path
 * @param {unknown} body
 * @param {{signal?: AbortSignal, method?: "POST" | "DELETE"}} [options]
 * @returns {Promise<Payload | null>}
 */
export async function post(path, body, { signal, method = "POST" } = {}) {
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  const response = await send(url(path), { signal, method, headers, body: JSON.stringify(body) });
  return response.status === 204 ? null : response.json();
}

/** @param {string} address @param {RequestInit} init */
async function send(address, init) {
  let response;
  try {
    response = await fetch(address, { credentials: "same-origin", ...init });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "the board does not answer");
  }
  if (response.ok) return response;
  if (response.status === 401) onSignedOut();
  const retry = Number(response.headers.get("Retry-After"));
  throw new ApiError(response.status, await told(response), retry > 0 ? retry : null);
}

/** @param {Response} response */
async function told(response) {
  try {
    const { detail } = await response.json();
    if (typeof detail === "string") return detail;
  } catch {
    // not JSON: a proxy's page
  }
  return `the board answered ${response.status}`;
}

/** @param {unknown} error @returns {boolean} whether it is only that a request was given up. */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
