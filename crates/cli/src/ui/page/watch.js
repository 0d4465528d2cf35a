// A subscription like that of any client, and its events as they arrive.

import { access, settings } from "./access.js";
import { Follow } from "./follow.js";
import { source } from "./ssekit.js";
import { braces, count, find, make, plural, refusal, sentence, time } from "./words.js";

/** Number of events that stay on the page, and of characters of each. */
const KEPT = 200;
const SHOWN = 4_000;

const log = find("events");
const list = log.firstElementChild;
const state = find("watch-state");
const pause = find("watch-pause");
let stream;
let total = 0;
let paused = false;
let missed = 0;
let held = [];
const follow = new Follow(log, () => setPaused(true));

function tell(kind, words) {
  state.dataset.state = kind;
  state.lastElementChild.textContent = words;
}

function add(item) {
  if (paused) {
    held.push(item);
    if (held.length > KEPT) held.shift();
    missed += 1;
    pause.textContent = `Resume (${count(missed)})`;
    return;
  }
  append([item]);
}

function append(items) {
  find("watch-empty").hidden = true;
  list.append(...items);
  while (list.childElementCount > KEPT) list.firstElementChild.remove();
  follow.toEnd();
}

function setPaused(yes) {
  paused = yes;
  pause.setAttribute("aria-pressed", String(yes));
  pause.textContent = yes ? "Resume" : "Pause";
  missed = 0;
  if (!yes) append(held.splice(0));
}

/** Changes of the connection, between the events. */
const note = (words) => add(make("li", { class: "note" }, `${time(Date.now())}  ${words}`));

function hear({ id, event, data }) {
  total += 1;
  find("watch-count").textContent = plural(total, "event");
  const cut = data.length > SHOWN ? `${data.slice(0, SHOWN)}… (${count(data.length)} characters)` : data;
  const head = make("p", { class: "head" }, make("time", {}, time(Date.now())), make("b", { class: "f-event" }, event));
  head.append(make("code", { class: "f-id", title: id }, id));
  const item = make("li", { "data-event": event }, head, make("pre", { class: "data" }, cut));
  if (event === "reset" || event === "gap") item.append(make("p", { class: "why" }, explained(event, data)));
  add(item);
}

/** The meaning of the events `reset` and `gap`, which the hub itself sends. */
function explained(event, data) {
  if (event === "gap") return "Retention removed updates before this page could read them.";
  const reason = /"reason":"(\w+)"/.exec(data)?.[1];
  if (reason === "expired") return "Retention removed updates after the last event ID: the whole history follows.";
  return "The hub does not know the last event ID: the whole history follows.";
}

function stop() {
  // First, because closing reports the status again.
  const own = stream;
  stream = undefined;
  own?.close();
  find("watch-go").textContent = "Subscribe";
}

function start() {
  const topics = find("selectors").value.split("\n").map((text) => text.trim()).filter(Boolean);
  const query = new URLSearchParams();
  for (const topic of topics) query.append("topic", topic);
  const withToken = find("watch-token").checked;
  const own = source(`${settings.path}?${query}`, {
    method: "GET",
    share: false,
    headers: () => (withToken ? access.headers() : {}),
    lastEventId: find("watch-from").value,
    reconnect: { maxDelay: 10_000, afterEnd: "always" },
    onopen: () => own === stream && note("connected"),
    onmessage: (message) => own === stream && hear(message),
  });
  stream = own;
  topics.map(braces).filter(Boolean).forEach(note);
  total = 0;
  find("watch-count").textContent = plural(0, "event");
  find("watch-go").textContent = "Stop";
  own.status.subscribe(({ state, error }) => {
    if (own !== stream) return;
    if (state === "open") tell("open", "connected");
    if (state === "connecting") tell("connecting", "connecting");
    if (state === "waiting") {
      tell("reconnecting", "reconnecting");
      note(`connection lost; reconnecting with the last event ID ${own.lastEventId || "(none)"}`);
    }
    if (state !== "closed") return;
    tell(error ? "refused" : "ended", error ? "refused" : "ended");
    if (error) note(sentence(error.body ? refusal(error.status, error.body) : error.message));
    stop();
  });
  own.connect();
}

/** Subscribes to these topics instead. */
export function watch(topics) {
  find("selectors").value = topics.join("\n");
  stop();
  start();
  find("watching").scrollIntoView({ block: "nearest" });
}

// The refusal of an earlier request does not apply to the edited one.
find("watch").addEventListener("input", () => {
  if (state.dataset.state === "refused") tell("idle", "not subscribed");
});

find("watch").addEventListener("submit", (event) => {
  event.preventDefault();
  if (stream) {
    stop();
    tell("idle", "not subscribed");
    note("stopped");
  } else start();
});
pause.addEventListener("click", () => setPaused(!paused));
find("watch-clear").addEventListener("click", () => {
  list.replaceChildren();
  held = [];
  find("watch-empty").hidden = false;
});
access.addEventListener("change", () => {
  if (!stream || !find("watch-token").checked) return;
  stop();
  start();
});
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", ({ persisted }) => persisted && stream?.connect());
