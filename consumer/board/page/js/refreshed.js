/** Numbers that are asked for again while they are shown. */

import { isAbort } from "./api.js";

/** @typedef {import("./context.js").Context} Context */

/**
 * Ask now, when the board says that numbers changed, and when the page is connected again; one question at a time.
 *
 * @template Payload
 * @param {Context} context of the view: with it this ends.
 * @param {{
 *   ask: (signal: AbortSignal) => Promise<Payload>,
 *   show: (payload: Payload) => void,
 *   fail: (error: unknown) => void,
 *   everyMs?: number,
 * }} what `everyMs`: also after so long, where nothing tells of a change.
 * @returns {() => void} asks now.
 */
export function refreshed({ events, signal }, { ask, show, fail, everyMs }) {
  let asking = false;
  let again = false;
  const now = async () => {
    again = asking;
    if (asking || signal.aborted) return;
    asking = true;
    try {
      const payload = await ask(signal);
      if (!signal.aborted) show(payload);
    } catch (error) {
      if (!isAbort(error)) fail(error);
    }
    asking = false;
    if (again) void now();
  };
  events.on("changed", () => void now(), { signal });
  events.on("connection", (connection) => void (connection === "live" && now()), { signal });
  if (everyMs !== undefined) {
    const timer = setInterval(() => void (document.hidden || now()), everyMs);
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }
  void now();
  return () => void now();
}
