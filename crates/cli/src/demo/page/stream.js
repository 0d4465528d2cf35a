// The page's only connection. The package opens it, watches it, and resumes it.

import { source } from "./ssekit.js";

/** Names of the events of /events. */
export const names = ["stats", "chat", "people", "reset"];

const OPTIONS = {
  method: "GET",
  // The page has one stream, and shows its own state of it.
  share: false,
  // Figures come four times a second; after this time without a byte (in ms), the connection is dead.
  readTimeout: 10_000,
  reconnect: { maxDelay: 10_000, afterEnd: "always" },
};
/** Opening takes longer than this (in ms) if the browser has no free connection. */
const SLOW_OPEN = 4_000;

/**
 * Dispatches `state`, `answer` (a response has begun), `event`, and `return` before the first event after a lost
 * connection, with the data of the `reset` events: none if nothing was missed.
 */
export class Stream extends EventTarget {
  /** `connecting`, `open` (events arrive) or `reconnecting`. */
  state = "connecting";
  slow = false;
  /** Position of this page in the server's channels. */
  lastId = "";
  #source;
  /** Resets that were not reported yet, also if the connection broke in between. */
  #resets = [];
  #crowded;

  constructor() {
    super();
    // A page in the back-forward cache must not keep its stream, and needs one when it is shown again.
    addEventListener("pagehide", () => this.#source?.close());
    addEventListener("pageshow", ({ persisted }) => {
      if (!persisted) return;
      this.#become("reconnecting");
      this.#source?.connect();
    });
  }

  /** Opens the stream in place of the one before. */
  open(url) {
    this.#source?.close();
    const own = source(url, {
      ...OPTIONS,
      lastEventId: this.lastId,
      onopen: () => this.dispatchEvent(new Event("answer")),
      onmessage: ({ id, event, data }) => own === this.#source && this.#hear(id, event, data),
    });
    this.#source = own;
    own.status.subscribe(({ state }) => own === this.#source && this.#watch(state));
    own.connect();
  }

  #hear(lastId, name, data) {
    if (name === "reset") this.#resets.push(JSON.parse(data));
    else this.#arrive();
    // The latest id is not the event's own if the event had none.
    const id = lastId === this.lastId ? undefined : lastId;
    this.lastId = lastId;
    this.dispatchEvent(new CustomEvent("event", { detail: { id, name, data } }));
  }

  /** Events arrive again; resets come before all others. */
  #arrive() {
    const resets = this.#resets.splice(0);
    const returns = this.state === "reconnecting" || resets.length > 0;
    if (this.state !== "open") this.#become("open");
    if (returns) this.dispatchEvent(new CustomEvent("return", { detail: resets }));
  }

  #watch(state) {
    clearTimeout(this.#crowded);
    if (state === "waiting" || state === "paused") this.#become("reconnecting");
    if (state !== "connecting") return;
    this.#crowded = setTimeout(() => {
      this.slow = true;
      this.dispatchEvent(new Event("state"));
    }, SLOW_OPEN);
  }

  #become(state) {
    this.slow = false;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
