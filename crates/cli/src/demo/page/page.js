// One stream for the whole page: each event goes to its part of the page, and to the list of lines.

import { Chart, round } from "./charts.js";
import { Room } from "./room.js";
import { Stream } from "./stream.js";
import { Wire } from "./wire.js";

const find = (id) => document.getElementById(id);
const GIB = 2 ** 30;

const stream = new Stream();
const wire = new Wire();
const room = new Room();

const percent = (value) => `${value.toFixed(value < 10 ? 1 : 0)} %`;
const gib = (value) => `${(value / GIB).toFixed(value < 10 * GIB ? 2 : 1)} GiB`;
const rate = (value) => {
  for (const [unit, size] of [["GB/s", 1e9], ["MB/s", 1e6], ["kB/s", 1e3]]) {
    if (value >= size) return `${(value / size).toFixed(value < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${Math.round(value)} B/s`;
};

let total = 0;
let cpu;
const memory = new Chart(find("memory"), { series: ["memory"], format: gib, ceiling: () => total || GIB, fill: true });
const network = new Chart(find("network"), {
  series: ["received", "sent", "loopback"],
  format: rate,
  ceiling: (highest) => round(Math.max(highest * 1.1, 1_000)),
});

function stats(figures) {
  // The first event names the number of cores. Each has a line while the lines can be told apart.
  if (!cpu) {
    const lines = figures.cores.length <= 8 ? figures.cores.map(() => "cpu") : [];
    const options = { series: ["cpu", ...lines], format: percent, ceiling: () => 100, fill: true, faint: true };
    cpu = new Chart(find("cpu"), options);
    find("cores").append(...figures.cores.map(() => document.createElement("li")));
    for (const core of find("cores").children) core.append(document.createElement("i"));
    const count = figures.cores.length;
    find("cpu-detail").textContent = count === 1 ? "one core" : `${count} cores together; thin lines and bars: each`;
  }
  cpu.push(figures.at, [figures.cpu, ...figures.cores]);
  figures.cores.forEach((use, core) => {
    find("cores").children[core]?.firstElementChild.style.setProperty("--use", use / 100);
  });
  find("cpu-now").textContent = percent(figures.cpu);

  total = figures.memory.total;
  memory.push(figures.at, [figures.memory.used]);
  find("memory-now").textContent = percent((100 * figures.memory.used) / total);
  find("memory-detail").textContent = `${gib(figures.memory.used)} of ${gib(total)} in use`;

  const { received, sent, loopback } = figures.network;
  network.push(figures.at, [received, sent, loopback]);
  find("network-now").textContent = rate(received + sent);
  find("received-now").textContent = rate(received);
  find("sent-now").textContent = rate(sent);
  find("loopback-now").textContent = rate(loopback);
}

// A screen reader reads a chart on request, not four times a second.
setInterval(() => {
  for (const id of ["cpu", "memory", "network"]) {
    const title = find(id).closest("figure").querySelector("h2").textContent;
    find(id).ariaLabel = `${title} over the last minute; now ${find(`${id}-now`).textContent}`;
  }
}, 5_000);

stream.addEventListener("event", ({ detail: event }) => {
  wire.show(event);
  if (event.name === "stats") stats(JSON.parse(event.data));
  if (event.name === "chat") room.hear(JSON.parse(event.data));
  if (event.name === "people") room.gather(JSON.parse(event.data));
});

let before = stream.state;
stream.addEventListener("state", () => {
  const pill = find("state");
  pill.dataset.state = stream.state;
  pill.lastElementChild.textContent = stream.state;
  const crowded = "Browsers open at most six connections to a server over HTTP/1.1: if this page is open in many tabs, close one.";
  const gone = "The server is unavailable or at its connection limit. This page keeps trying to reconnect.";
  const text = stream.slow ? `The stream is slow to open. ${crowded}` : gone;
  find("notice").textContent = text;
  find("notice").hidden = stream.state === "open" || (stream.state === "connecting" && !stream.slow);
  document.title = stream.state === "open" ? "ssekit: one response that never ends" : `${stream.state}: ssekit`;
  if (stream.state !== before && stream.state === "reconnecting") {
    find("news").hidden = true;
    wire.note(`the stream ended; reconnecting, Last-Event-ID: ${stream.lastId || "none"}`);
  }
  before = stream.state;
});

stream.addEventListener("answer", () => wire.note("200 OK, content-type: text/event-stream"));

/** Number of events in the server's channels: singular and plural. */
const held = {
  figures: ["sample", "samples"],
  room: ["message", "messages"],
  people: ["arrival or departure", "arrivals and departures"],
};

stream.addEventListener("return", ({ detail: resets }) => {
  if (resets.length === 0) return tell("resumed", "Resumed: nothing was missed.");
  if (resets.some(({ reason }) => reason === "unknown")) {
    room.clear("The server was restarted and has lost the earlier messages.");
    return tell("reset", "Reset: the server was restarted, and the chat room is empty.");
  }
  const missed = resets.map(({ channel, missed }) => {
    const text = `${missed.toLocaleString("en")} ${held[channel][missed === 1 ? 0 : 1]}`;
    if (channel === "room") room.note(`${text} missed`);
    return text;
  });
  tell("reset", `Resumed, but missed ${missed.join(", ")}, which the server no longer has.`);
});

/** Time for which a recent change is shown, in ms. */
const NEWS = 8_000;
let forget;

function tell(kind, text) {
  const news = find("news");
  news.dataset.kind = kind;
  news.textContent = text;
  news.hidden = false;
  clearTimeout(forget);
  forget = setTimeout(() => (news.hidden = true), NEWS);
  wire.note(text);
}

const enter = () => stream.open(`events?name=${encodeURIComponent(room.name)}`);
room.addEventListener("rename", enter);
enter();

// The code samples, with this server's own address: one tab at a time, copied by a button.
const tabs = [...document.querySelectorAll("[role=tab]")];
for (const code of document.querySelectorAll(".same code")) {
  code.textContent = code.textContent.replaceAll("http://127.0.0.1:3000", location.origin);
}

function choose(tab) {
  for (const other of tabs) {
    other.ariaSelected = String(other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    find(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
});

find("copy").addEventListener("click", async () => {
  const open = tabs.find((tab) => tab.ariaSelected === "true");
  const panel = find(open.getAttribute("aria-controls"));
  try {
    await navigator.clipboard.writeText(panel.textContent);
    find("copy").textContent = "Copied";
  } catch {
    // Without permission, or over plain HTTP from another machine: select it, so that one key copies it.
    getSelection().selectAllChildren(panel);
    find("copy").textContent = "Selected";
  }
  setTimeout(() => (find("copy").textContent = "Copy"), 1_600);
});
