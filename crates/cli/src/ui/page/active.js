// Active subscriptions: the list, then every change of it from the subscription events.

import { access, ask, settings } from "./access.js";
import { source } from "./ssekit.js";
import { watch } from "./watch.js";
import { asked, count, find, make, plural, refusal, sentence } from "./words.js";

/** Listed topics, listed subscribers of each, and subscriptions that the page keeps. */
const TOPICS = 50;
const SUBSCRIBERS = 20;
const KEPT = 20_000;
/** Minimum time between two drawings of the list, in ms. */
const PACE = 250;

const list = find("active");
const words = find("active-words");
/** By id. */
let all = new Map();
let stream;
let due;
/** Number of the current attempt: answers to earlier ones are dropped. */
let attempt = 0;
const opened = new Set();

function say(text, ...more) {
  words.hidden = text === "";
  words.replaceChildren(text, ...more);
}

function draw() {
  due = undefined;
  const topics = new Map();
  const wanted = find("active-filter").value.trim().toLowerCase();
  for (const one of all.values()) {
    if (wanted && !one.topic.toLowerCase().includes(wanted)) continue;
    if (!topics.has(one.topic)) topics.set(one.topic, []);
    topics.get(one.topic).push(one);
  }
  const subscribers = new Set([...all.values()].map(({ subscriber }) => subscriber));
  find("active-count").textContent = `${plural(all.size, "subscription")} of ${plural(subscribers.size, "subscriber")}`;
  const most = [...topics].sort(([a, here], [b, there]) => there.length - here.length || (a < b ? -1 : 1));
  list.replaceChildren(...most.slice(0, TOPICS).map(([topic, ones]) => row(topic, ones, most[0][1].length)));
  if (all.size >= KEPT) return say(`More than ${count(KEPT)} subscriptions are active; the rest is not shown.`);
  if (most.length > TOPICS) return say(`Not shown: ${plural(most.length - TOPICS, "topic")} with fewer subscriptions.`);
  say(most.length > 0 ? "" : all.size > 0 ? "No topic contains this text." : "There are no active subscriptions.");
}

function row(topic, ones, most) {
  const bar = make("i", { "aria-hidden": "true" });
  bar.style.setProperty("--part", ones.length / most);
  const summary = make("summary", {}, make("code", { title: topic }, topic), bar, make("b", {}, count(ones.length)));
  const follow = make("button", { type: "button", class: "small" }, "Watch");
  follow.addEventListener("click", () => watch([topic]));
  const who = make("ul", { class: "who" });
  for (const { subscriber, payload } of ones.slice(0, SUBSCRIBERS)) {
    const item = make("li", {}, make("code", {}, subscriber));
    if (payload !== undefined) item.append(make("code", { class: "payload" }, JSON.stringify(payload).slice(0, 300)));
    who.append(item);
  }
  if (ones.length > SUBSCRIBERS) who.append(make("li", { class: "note" }, `and ${count(ones.length - SUBSCRIBERS)} more`));
  const details = make("details", { open: opened.has(topic), "data-topic": topic }, summary, who, follow);
  details.addEventListener("toggle", () => (details.open ? opened.add(topic) : opened.delete(topic)));
  return make("li", {}, details);
}

const change = () => (due ??= setTimeout(draw, PACE));

async function load() {
  attempt += 1;
  const mine = attempt;
  stream?.close();
  stream = undefined;
  if (!settings.subscriptions) {
    return say("This hub does not report its subscriptions: start it with --subscriptions.");
  }
  let found = [];
  let from;
  try {
    // The list comes in parts. Events after the first part report changes meanwhile.
    for (let next = `${settings.path}/subscriptions`; next && found.length < KEPT; ) {
      const part = await (await asked(fetch(next, { headers: access.headers() }))).json();
      from ??= part.lastEventID;
      found = found.concat(part.subscriptions);
      next = part.next;
    }
  } catch (error) {
    if (mine !== attempt) return;
    all = new Map();
    list.replaceChildren();
    find("active-count").textContent = "";
    if (error.status !== 401 && error.status !== 403) {
      say(sentence(error.message));
      return void setTimeout(() => mine === attempt && load(), 5_000);
    }
    const give = make("button", { type: "button", class: "small" }, "Enter a token");
    give.addEventListener("click", ask);
    return say(`${sentence(error.message)} `, give);
  }
  if (mine !== attempt) return;
  all = new Map(found.slice(0, KEPT).map((one) => [one.id, one]));
  draw();
  listen(from, mine);
}

/** Continues behind the end of the list. */
function listen(lastEventId, mine) {
  const topic = `${settings.path}/subscriptions/{topic}/{subscriber}`;
  const own = source(`${settings.path}?${new URLSearchParams({ topic })}`, {
    method: "GET",
    share: false,
    headers: () => access.headers(),
    lastEventId,
    openWhenHidden: false,
    reconnect: { maxDelay: 10_000, afterEnd: "always" },
    onmessage: ({ event, data }) => {
      if (mine !== attempt) return;
      // The missed events are gone, so the list is requested again.
      if (event === "reset" || event === "gap") return void load();
      const one = JSON.parse(data);
      if (!one.active) all.delete(one.id);
      else if (all.size < KEPT) all.set(one.id, one);
      change();
    },
  });
  stream = own;
  own.status.subscribe(({ state, error }) => {
    if (mine !== attempt || state !== "closed" || !error) return;
    say(sentence(error.body ? refusal(error.status, error.body) : error.message));
  });
  own.connect();
}

find("active-filter").addEventListener("input", change);
access.addEventListener("change", load);
addEventListener("pagehide", () => stream?.close());
addEventListener("pageshow", ({ persisted }) => persisted && load());
load();
