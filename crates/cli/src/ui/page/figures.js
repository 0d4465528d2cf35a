// The hub's figures, one event per second, as charts of the last minute.

import { access, ask, settings } from "./access.js";
import { Chart, round } from "./charts.js";
import { source } from "./ssekit.js";
import { bytes, count, duration, find, make, plural, rate, refusal, sentence, short } from "./words.js";

const PERIOD = 1_000;
const upTo = (least) => (highest) => round(Math.max(highest * 1.1, least));
const chart = (id, series, format, ceiling, fill = true) =>
  new Chart(find(id), { series, format, ceiling, fill, period: PERIOD });

const published = chart("published", ["published"], (value) => `${short(value)}/s`, upTo(10));
const delivered = chart("delivered", ["delivered"], (value) => `${short(value)}/s`, upTo(10));
const subscribers = chart("subscribers", ["subscribers"], short, upTo(10));
const latency = chart("latency", ["p99", "p50"], (value) => duration(value), upTo(0.000_5), false);

/** Reasons for the ends of subscriptions, in words. */
const ends = {
  left: "client disconnected",
  expired: "token or lifetime expired",
  stalled: "client stopped reading",
  overtaken: "unread updates removed",
  failed: "log not readable",
  shutdown: "hub shut down",
};

function show(stats) {
  published.push(stats.at, [stats.published.per_second]);
  delivered.push(stats.at, [stats.delivered.per_second]);
  subscribers.push(stats.at, [stats.subscribers]);
  latency.push(stats.at, [stats.latency.p99 ?? undefined, stats.latency.p50 ?? undefined]);

  find("published-now").textContent = `${rate(stats.published.per_second)}/s`;
  find("published-detail").textContent = `${plural(stats.published.total, "update")} in total`;
  find("delivered-now").textContent = `${rate(stats.delivered.per_second)}/s`;
  find("delivered-detail").textContent = `${count(stats.delivered.total)} in total${stats.replayed > 0 ? `, ${count(stats.replayed)} replayed` : ""}`;
  find("subscribers-now").textContent = count(stats.subscribers);
  const held = stats.log;
  find("subscribers-detail").textContent = held ? `${short(held.records)} updates stored, ${bytes(held.bytes)}` : "the log cannot be read";
  const { p50, p99 } = stats.latency;
  find("latency-now").textContent = p99 === null ? "–" : duration(p99);
  find("p50-now").textContent = p50 === null ? "–" : duration(p50);
  find("p99-now").textContent = p99 === null ? "–" : duration(p99);

  const all = Object.values(stats.ends).reduce((sum, number) => sum + number, 0);
  find("ends").replaceChildren(
    ...Object.keys(ends).map((reason) => {
      const number = stats.ends[reason] ?? 0;
      const part = make("li", { class: number === 0 ? "none" : "some", "data-reason": reason, title: ends[reason] });
      part.style.setProperty("--part", all === 0 ? 0 : number / all);
      part.append(make("span", {}, reason), make("b", {}, count(number)), make("small", {}, ends[reason]));
      return part;
    }),
  );
}

// A screen reader reads a chart on request, not once a second.
setInterval(() => {
  for (const id of ["published", "delivered", "subscribers", "latency"]) {
    const title = find(id).closest("figure").querySelector("h2").textContent;
    find(id).ariaLabel = `${title} over the last minute; now ${find(`${id}-now`).textContent}`;
  }
}, 5_000);

const pill = find("state");
const notice = find("notice");
const figures = document.querySelector(".figures");

function become(state, words = "") {
  pill.dataset.state = state === "live" ? "open" : state;
  pill.lastElementChild.textContent = state;
  figures.hidden = false;
  notice.dataset.kind = "bad";
  notice.hidden = words === "";
  notice.replaceChildren(words);
}

let stream;

function open() {
  stream?.close();
  const own = source("stats", {
    method: "GET",
    headers: access.headers(),
    // Browsers open six connections to a server over HTTP/1.1: windows share this one, and a hidden one uses
    // none. They share only requests without cookies: with a token, or where none is needed, none are sent.
    tabs: true,
    credentials: access.token || settings.isOpen ? "omit" : "same-origin",
    openWhenHidden: false,
    // Figures come each second; after this time without a byte (in ms), the connection is dead.
    readTimeout: 10_000,
    reconnect: { maxDelay: 10_000, afterEnd: "always" },
    onmessage: ({ event, data }) => own === stream && event === "stats" && show(JSON.parse(data)),
  });
  stream = own;
  own.status.subscribe((status) => own === stream && tell(status));
  own.connect();
}

function tell({ state, error }) {
  if (state === "open") become("live");
  if (state === "connecting" && pill.dataset.state !== "reconnecting") become("connecting");
  if (state === "waiting" || state === "paused") {
    become("reconnecting", state === "waiting" ? "The hub is unavailable or at its connection limit. This page keeps trying to reconnect." : "");
  }
  if (state !== "closed" || !error) return;
  if (error.status !== 401 && error.status !== 403) return become("reconnecting", sentence(error.message));
  become("no metrics", "");
  const give = make("button", { type: "button" }, "Enter a token");
  give.addEventListener("click", ask);
  // Without a token, the user needs no message that it is insufficient.
  const why = access.token ? `${sentence(refusal(error.status, error.body))} ` : "";
  notice.replaceChildren(`The metrics need a token that grants ${settings.path}/subscriptions. ${why}`, give);
  notice.dataset.kind = access.token ? "bad" : "quiet";
  notice.hidden = false;
  figures.hidden = true;
}

open();
access.addEventListener("change", open);
// A page in the back-forward cache must not keep its stream, and needs one when it is shown again.
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", ({ persisted }) => persisted && stream.connect());
