// The page's one EventSource: opened, watched, opened again where it was.

/** What /events sends. EventSource hands over only the names that it was asked for. */
export const names = ["stats", "chat", "people", "reset"];

/** Figures come four times a second, so this long without any event (in ms) is a connection that died unnoticed. */
const SILENCE = 10_000;
/** How long to wait (in ms) before asking again when the browser itself has given up, as it does after an HTTP error. */
const PATIENCE = { first: 1_000, most: 10_000 };
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
  #url;
  /** What was reset and is not told yet, also when the connection broke in between. */
  #resets = [];
  #wait = PATIENCE.first;
  #retry;
  #heard = 0;
  #began = performance.now();

  constructor() {
    super();
    setInterval(() => this.#watch(), 1_000);
    // A page kept for the back button must not keep its stream, nor stay without one when it is shown again.
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.#reopen());
  }

  /** Opens the stream, in the place of the one before it. */
  open(url) {
    this.#leave();
    this.#url = url;
    this.#began = performance.now();
    // An EventSource returns with its Last-Event-ID, but a new one has none: the query tells it.
    const address = new URL(url, document.baseURI);
    if (this.lastId) address.searchParams.set("lastEventId", this.lastId);
    const source = new EventSource(address);
    this.#source = source;
    source.onopen = () => {
      this.#heard = performance.now();
      this.dispatchEvent(new Event("answer"));
    };
    source.onerror = () => {
      this.#began = performance.now();
      this.#become("reconnecting");
      if (source.readyState === EventSource.CLOSED) {
        this.#retry = setTimeout(() => this.open(url), this.#wait);
        this.#wait = Math.min(this.#wait * 2, PATIENCE.most);
      }
    };
    for (const name of names) source.addEventListener(name, (event) => this.#hear(event));
  }

  #hear({ type: name, data, lastEventId }) {
    this.#heard = performance.now();
    if (name === "reset") this.#resets.push(JSON.parse(data));
    else this.#arrive();
    // EventSource shows the latest id, not the event's own: one that did not change was not sent.
    const id = lastEventId === this.lastId ? undefined : lastEventId;
    this.lastId = lastEventId;
    this.dispatchEvent(new CustomEvent("event", { detail: { id, name, data } }));
  }

  /** Events come again, and resets come before all others. */
  #arrive() {
    const resets = this.#resets.splice(0);
    const returns = this.state === "reconnecting" || resets.length > 0;
    this.#wait = PATIENCE.first;
    if (this.state !== "open") this.#become("open");
    if (returns) this.dispatchEvent(new CustomEvent("return", { detail: resets }));
  }

  #reopen() {
    this.#become("reconnecting");
    this.open(this.#url);
  }

  #leave() {
    clearTimeout(this.#retry);
    this.#source?.close();
  }

  #watch() {
    const now = performance.now();
    if (this.#source?.readyState === EventSource.OPEN) {
      if (now - this.#heard > SILENCE && !document.hidden) this.#reopen();
      return;
    }
    const slow = this.#source?.readyState === EventSource.CONNECTING && now - this.#began > SLOW_OPEN;
    if (slow !== this.slow) {
      this.slow = slow;
      this.dispatchEvent(new Event("state"));
    }
  }

  #become(state) {
    this.slow = false;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
