// The token of this page's requests. It exists only in the page's memory, as long as the page.

import { duration, find } from "./words.js";

const { hub, open, anonymous, subscriptions } = document.body.dataset;

/** Properties of the hub that the page contains. */
export const settings = {
  /** Its path. */
  path: hub,
  /** `--dev`: no request needs a token. */
  isOpen: open === "yes",
  anonymous: anonymous === "yes",
  /** Whether the hub announces and lists subscriptions. */
  subscriptions: subscriptions === "yes",
};

class Access extends EventTarget {
  #token = "";

  get token() {
    return this.#token;
  }

  /** `change` is called when the token changes. */
  set token(text) {
    const token = pure(text);
    if (token === this.#token) return;
    this.#token = token;
    this.dispatchEvent(new Event("change"));
  }

  /** Headers of a request with the page's token, or with another one. */
  headers(other = "") {
    const token = pure(other) || this.#token;
    return token ? { authorization: `Bearer ${token}` } : {};
  }
}

export const access = new Access();

/** A pasted token without line ends, and without the scheme of a header in front of it. */
export function pure(text) {
  return text.trim().replace(/^Bearer\s+/i, "").replace(/[^!-~]/g, "");
}

/** The unverified claims of a token; undefined if it cannot be read. */
export function claims(token) {
  try {
    const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (byte) => byte.charCodeAt(0))));
  } catch {
    return undefined;
  }
}

/** A short description of a token's claims. */
export function described(token) {
  const said = claims(token);
  if (!said) return "This is not a JWT, which has three base64url parts, separated by dots.";
  const { publish, subscribe } = said["https://mercure.rocks/"] ?? said.mercure ?? {};
  const list = (selectors) => (Array.isArray(selectors) && selectors.length > 0 ? selectors.join(", ") : "nothing");
  const left = said.exp - Date.now() / 1000;
  const until = said.exp === undefined ? "It does not expire." : left > 0 ? `It expires in ${duration(left)}.` : "It has expired.";
  return `It grants private updates of: ${list(subscribe)}; publishing to: ${list(publish)}. ${until}`;
}

const dialog = find("token-dialog");
const field = find("token");
const who = find("who");

function show() {
  who.textContent = access.token ? "Reading with a token" : settings.isOpen ? "Reading everything (--dev)" : "Reading without a token";
  who.dataset.kind = access.token ? "token" : "none";
}

const describe = () => {
  const token = pure(field.value);
  find("token-says").textContent = token ? described(token) : "";
};

/** Asks the user for a token. */
export function ask() {
  field.value = access.token;
  describe();
  dialog.showModal();
}

field.addEventListener("input", describe);
who.addEventListener("click", ask);
find("token-use").addEventListener("click", () => {
  access.token = field.value;
  dialog.close();
});
find("token-forget").addEventListener("click", () => {
  access.token = "";
  dialog.close();
});
find("token-cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", ({ target }) => {
  if (target === dialog) dialog.close();
});
access.addEventListener("change", show);
show();
