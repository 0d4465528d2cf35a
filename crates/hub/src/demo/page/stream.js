// The page's one EventSource: opened, watched, opened again.

/** What /events sends. EventSource hands over only the names that it was asked for. */
export const names = ["stats", "chat", "people"];

/** Figures come four times a second, so this long without any event (in ms) is a connection that died unnoticed. */
const SILENCE = 10_000;
/** How long to wait (in ms) before asking again when the browser itself has given up, as it does after an HTTP error. */
const PATIENCE = { first: 1_000, most: 10_000 };
/** Opening takes longer than this (in ms) when the browser has no connection left for it. */
const SLOW_OPEN = 4_000;

export class Stream extends EventTarget {
  /** `connecting`, `open` or `reconnecting`. */
  state = "connecting";
  slow = false;
  #source;
  #url;
  #lastId = "";
  #wait = PATIENCE.first;
  #retry;
  #heard = 0;
  #began = performance.now();

  constructor() {
    super();
    setInterval(() => this.#watch(), 1_000);
    // A page kept for the back button must not keep its stream, nor stay without one when it is shown again.
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.open(this.#url));
  }

  /** Opens the stream, in the place of the one before it. */
  open(url) {
    this.#leave();
    this.#url = url;
    this.#lastId = "";
    this.#began = performance.now();
    const source = new EventSource(url);
    this.#source = source;
    source.onopen = () => {
      this.#wait = PATIENCE.first;
      this.#heard = performance.now();
      this.#become("open");
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

  #hear(event) {
    this.#heard = performance.now();
    // EventSource shows the latest id, not the event's own: one that did not change was not sent.
    const id = event.lastEventId === this.#lastId ? undefined : event.lastEventId;
    this.#lastId = event.lastEventId;
    this.dispatchEvent(new CustomEvent("event", { detail: { id, name: event.type, data: event.data } }));
  }

  #leave() {
    clearTimeout(this.#retry);
    this.#source?.close();
  }

  #watch() {
    const now = performance.now();
    if (this.state === "open") {
      if (now - this.#heard > SILENCE && !document.hidden) {
        this.#become("reconnecting");
        this.open(this.#url);
      }
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
