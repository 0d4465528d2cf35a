// The history, a page at a time.

import { access, ask, settings } from "./access.js";
import { watch } from "./watch.js";
import { asked, braces, bytes, find, make, plural, sentence, time } from "./words.js";

const LIMIT = 25;
const rows = find("history");
const words = find("history-words");
const withSubscriptions = find("history-subscriptions");
let older;
let newer;
let attempt = 0;
/** The message is the refusal of the last request. */
let refused = false;

/** An update: a line that opens to all of its fields. */
function row(update) {
  const [topic, ...others] = update.topics;
  const more = others.length + update.more_topics;
  const topics = make("span", { class: "topics" }, make("code", { title: update.topics.join("\n") }, topic ?? "–"));
  if (more > 0) topics.append(make("small", {}, `+${more}`));
  const marks = make("span", { class: "marks" });
  if (update.private) marks.append(make("b", { class: "mark-private" }, "private"));
  if (update.event !== "message") marks.append(make("b", { class: "mark-type" }, update.event));
  const own = ofHub(update);
  if (own) marks.append(make("b", { class: "mark-type" }, "hub"));
  const line = make("span", { class: "line" }, own || update.data.slice(0, 200) || "no data");
  const summary = make("summary", {}, make("time", { title: new Date(update.time).toISOString() }, time(update.time)), topics, line, marks);
  const rest = make("dl", { class: "rest" });
  const say = (name, ...value) => rest.append(make("dt", {}, name), make("dd", {}, ...value));
  say("id", make("code", {}, update.id));
  say(more > 0 ? "topics" : "topic", ...update.topics.map((one) => make("code", { class: "block" }, one)));
  if (update.more_topics > 0) rest.lastElementChild.append(`and ${update.more_topics} more`);
  say("data", make("pre", { tabIndex: 0 }, pretty(update)));
  const isCut = new TextEncoder().encode(update.data).length < update.size;
  if (isCut) say("", `only the beginning of ${bytes(update.size)}`);
  const follow = make("button", { type: "button", class: "small" }, "Watch this topic");
  follow.addEventListener("click", () => watch(update.topics.slice(0, 1)));
  if (topic) say("", follow);
  return make("li", own ? { class: "own" } : {}, make("details", { "data-id": update.id }, summary, rest));
}

/** The content of a subscription event; undefined for any other update. */
function ofHub({ topics: [topic], data }) {
  if (!topic?.startsWith(`${settings.path}/subscriptions/`)) return undefined;
  try {
    const { active, topic: selector } = JSON.parse(data);
    return `${active ? "subscribed to" : "no longer subscribed to"} ${selector}`;
  } catch {
    return undefined;
  }
}

/** JSON on several lines, any other text unchanged. */
function pretty({ data }) {
  try {
    return JSON.stringify(JSON.parse(data), null, 2);
  } catch {
    return data;
  }
}

async function load(place = {}) {
  attempt += 1;
  const mine = attempt;
  const query = new URLSearchParams({ limit: LIMIT, ...place });
  // Subscription events would fill most pages.
  if (!withSubscriptions.checked) query.set("subscriptions", "false");
  const topics = find("history-topic").value.split(/\s+/).filter(Boolean);
  for (const topic of topics.length > 0 ? topics : ["*"]) query.append("topic", topic);
  const response = asked(fetch(`history?${query}`, { headers: access.headers() }));
  let page;
  try {
    page = await (await response).json();
  } catch (error) {
    if (mine !== attempt) return;
    rows.replaceChildren();
    [older, newer] = [];
    refused = true;
    find("history-count").textContent = "";
    const give = make("button", { type: "button", class: "small" }, "Enter a token");
    give.addEventListener("click", ask);
    tell(`${sentence(error.message)} `, ...(error.status === 401 || error.status === 403 ? [give] : []));
    return;
  }
  if (mine !== attempt) return;
  refused = false;
  ({ older, newer } = page);
  rows.replaceChildren(...page.events.map(row));
  const ended = "after" in place ? newer : older;
  if (page.events.length > 0) tell("");
  else tell([nothing(topics.length > 0, ended), ...topics.map(braces).filter(Boolean)].join(" "));
  find("history-count").textContent = page.events.length > 0 ? `${plural(page.events.length, "update")}, newest first` : "";
}

/** Reason why a page of the history is empty. */
function nothing(ofTopics, goesOn) {
  if (goesOn) return "This part of the history has no such update. Older and Newer continue the search.";
  if (ofTopics) return "The history has no update of this topic that you may read.";
  return "The history is empty or has only private updates, which need a token.";
}

function tell(...text) {
  words.hidden = text[0] === "";
  words.replaceChildren(...text);
  find("history-older").disabled = !older;
  find("history-newer").disabled = !newer;
}

find("history-form").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
// The refusal of an earlier request does not apply to the edited one.
find("history-form").addEventListener("input", () => {
  if (refused) tell("");
});
withSubscriptions.addEventListener("change", () => load());
find("history-older").addEventListener("click", () => load({ before: older }));
find("history-newer").addEventListener("click", () => load({ after: newer }));
access.addEventListener("change", () => load());
load();
