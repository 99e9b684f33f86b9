/** The token is asked for once, and becomes a cookie that scripts cannot read. */

import { ApiError, post } from "./api.js";
import { el, replace } from "./dom.js";

/** @type {Promise<void> | null} */
let asked = null;

/** Ask until it is right; one form at a time. @returns {Promise<void>} */
export function askForToken() {
  asked ??= show().finally(() => (asked = null));
  return asked;
}

/** @returns {Promise<void>} */
function show() {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("sign-in"));
  const field = el("input", {
    id: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "token-fault",
  });
  const fault = el("p", { class: "field-fault", id: "token-fault", role: "alert" });
  const button = el("button", { class: "button primary", type: "submit" }, "Sign in");
  return new Promise((done) => {
    let signedIn = false;
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      button.disabled = true;
      replace(fault);
      try {
        await post("session", { token: field.value });
        signedIn = true;
        dialog.close();
        done();
      } catch (error) {
        const wrong = error instanceof ApiError && error.status === 403;
        replace(fault, wrong ? "This is not the board's token." : String(error instanceof Error ? error.message : error));
        field.select();
      } finally {
        button.disabled = false;
      }
    };
    replace(
      dialog,
      el(
        "form",
        { class: "form", on: { submit } },
        el("h2", { id: "sign-in-title" }, "This board asks for its token"),
        el("p", null, "It is the one that the board was started with (PREFSTREAM_BOARD_HTTP_TOKEN)."),
        // Nobody types it: a password manager keeps the token under it.
        el("input", { type: "text", autocomplete: "username", value: "prefstream board", readonly: true, hidden: true }),
        el("label", { for: "token" }, "Token"),
        field,
        fault,
        button,
      ),
    );
    const open = () => {
      if (!dialog.open) dialog.showModal();
      field.focus();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => signedIn || open(); // a browser does not heed the former twice in a row
    open();
  });
}
