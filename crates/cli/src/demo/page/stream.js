// The page's one connection. The package opens it, watches it, and opens it again where it was.

import { source } from "./ssekit.js";

/** What /events sends. */
export const names = ["stats", "chat", "people", "reset"];

const OPTIONS = {
  method: "GET",
  // The page has one stream, and its own view of it.
  share: false,
  // Figures come four times a second, so this long without any byte (in ms) is a connection that died unnoticed.
  readTimeout: 10_000,
  reconnect: { maxDelay: 10_000, afterEnd: "always" },
};
/** Opening takes longer than this (in ms) when the browser has no connection left for it. */
const SLOW_OPEN = 4_000;

/**
 * Tells `state`, `answer` (a response has begun), `event`, and `return`, before the first event after a loss, with the
 * data of the `reset` events: none when nothing was missed.
 */
export class Stream extends EventTarget {
  /** `connecting`, `open` (events come) or `reconnecting`. */
  state = "connecting";
  slow = false;
  /** Where this page is in the server's channels. */
  lastId = "";
  #source;
  /** What was reset and is not told yet, also when the connection broke in between. */
  #resets = [];
  #crowded;

  constructor() {
    super();
    // A page kept for the back button must not keep its stream, nor stay without one when it is shown again.
    addEventListener("pagehide", () => this.#source?.close());
    addEventListener("pageshow", ({ persisted }) => {
      if (!persisted) return;
      this.#become("reconnecting");
      this.#source?.connect();
    });
  }

  /** Opens the stream, in the place of the one before it. */
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
    // The latest id is not the event's own: one that did not change was not sent.
    const id = lastId === this.lastId ? undefined : lastId;
    this.lastId = lastId;
    this.dispatchEvent(new CustomEvent("event", { detail: { id, name, data } }));
  }

  /** Events come again, and resets come before all others. */
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
