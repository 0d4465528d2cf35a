// The lines of the stream: each event as it arrived.

import { Follow } from "./follow.js";
import { names } from "./stream.js";

/** Number of events that stay on the page. */
const KEPT = 150;
const utf8 = new TextEncoder();
const find = (id) => document.getElementById(id);

export class Wire {
  #log = find("blocks");
  #blocks = this.#log.firstElementChild;
  #pause = find("pause");
  #paused = false;
  #missed = 0;
  #events = 0;
  #bytes = 0;
  #held = [];
  #shown = new Map();
  // A reader that scrolls up wants to read: stop until the reader continues.
  #follow = new Follow(this.#log, () => this.#setPaused(true));

  constructor() {
    for (const name of names) this.#shown.set(name, { on: true, count: 0, label: this.#filter(name) });
    this.#pause.addEventListener("click", () => this.#setPaused(!this.#paused));
  }

  /** Takes an event as `{ id, name, data }`; the id is undefined when the event had none. */
  show(event) {
    const lines = [];
    if (event.id !== undefined) lines.push(["id", event.id]);
    lines.push(["event", event.name]);
    for (const line of event.data.split("\n")) lines.push(["data", line]);
    const text = lines.map(([field, value]) => `${field}: ${value}\n`).join("") + "\n";

    this.#events += 1;
    this.#bytes += utf8.encode(text).length;
    find("event-count").textContent = this.#events.toLocaleString("en");
    find("byte-count").textContent = size(this.#bytes);
    if (event.id !== undefined) find("last-id").textContent = event.id || "none";

    const kind = this.#shown.get(event.name);
    kind.count += 1;
    kind.label.textContent = kind.count.toLocaleString("en");
    if (kind.on) this.#add(block(lines, event.name));
  }

  /** Adds a notice about the connection between the events. */
  note(text) {
    const item = document.createElement("li");
    item.className = "note";
    item.textContent = text;
    this.#add(item);
  }

  #add(item) {
    if (this.#paused) {
      this.#held.push(item);
      if (this.#held.length > KEPT) this.#held.shift();
      this.#missed += 1;
      this.#pause.textContent = `Resume (${this.#missed.toLocaleString("en")})`;
      return;
    }
    this.#append([item]);
  }

  #append(items) {
    this.#blocks.append(...items);
    while (this.#blocks.childElementCount > KEPT) this.#blocks.firstElementChild.remove();
    this.#follow.toEnd();
  }

  #setPaused(paused) {
    this.#paused = paused;
    this.#pause.setAttribute("aria-pressed", String(paused));
    this.#pause.textContent = paused ? "Resume" : "Pause";
    this.#missed = 0;
    if (!paused) this.#append(this.#held.splice(0));
  }

  #filter(name) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    const count = document.createElement("b");
    count.textContent = "0";
    button.append(name, count);
    button.addEventListener("click", () => {
      const kind = this.#shown.get(name);
      kind.on = !kind.on;
      button.setAttribute("aria-pressed", String(kind.on));
      this.#blocks.classList.toggle(`no-${name}`, !kind.on);
    });
    find("filters").append(button);
    return count;
  }
}

function block(lines, name) {
  const item = document.createElement("li");
  item.dataset.event = name;
  for (const [field, value] of lines) {
    const line = document.createElement("p");
    const label = document.createElement("span");
    label.className = `f-${field}`;
    label.textContent = `${field}: `;
    const text = document.createElement("span");
    text.textContent = value;
    line.append(label, text);
    item.append(line);
  }
  return item;
}

function size(bytes) {
  if (bytes < 1_000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1_000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(2)} MB`;
}
