// Numbers, times and refusals as people read them, and elements made of text: nothing that was published is ever taken for HTML.

export const find = (id) => document.getElementById(id);

/** An element with these properties (`data-…`, `class` and the like as attributes) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export const count = (number) => number.toLocaleString("en");
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** So many a second: with a digit after the point where it matters. */
export const rate = (value) => (value < 10 && value % 1 ? value.toFixed(1) : count(Math.round(value)));

/** Large numbers, short. */
export const short = (value) => {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    const by = unit === "k" ? 1e3 : size;
    if (value >= size) return `${(value / by).toFixed(value < 100 * by ? 1 : 0)} ${unit}`;
  }
  return count(Math.round(value));
};

export const bytes = (value) => {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (value >= size) return `${(value / size).toFixed(value < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${value} B`;
};

/** A duration in seconds, in the unit that suits it. */
export const duration = (seconds) => {
  for (const [unit, size] of [["s", 1], ["ms", 1e-3]]) {
    if (seconds >= size) return `${(seconds / size).toFixed(seconds < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${Math.round(seconds * 1e6)} µs`;
};

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The time of day; with the date when that is another one. */
export const time = (at) => {
  const when = new Date(at);
  const isToday = when.toDateString() === new Date().toDateString();
  return isToday ? clock.format(when) : `${date.format(when)}, ${clock.format(when)}`;
};

/** An expression of a URI template (RFC 6570). */
const EXPRESSION = /\{[+#./;?&]?[\w.%]+(?::[1-9]\d{0,3}|\*)?(?:,[\w.%]+(?::[1-9]\d{0,3}|\*)?)*\}/g;

/** A remark about a selector with braces that is not a URI template; empty for every other one. The hub takes it as an exact topic. */
export function braces(selector) {
  if (!/[{}]/.test(selector.replace(EXPRESSION, ""))) return "";
  return `“${selector}” is not a URI template such as /books/{id}: it matches only the topic with exactly this text.`;
}

/** What a refusal says: the detail of a problem, else whatever was answered. */
export function refusal(status, body) {
  try {
    const { detail, title } = JSON.parse(body);
    if (detail || title) return detail ?? title;
  } catch {}
  return body?.trim().slice(0, 300) || `the hub answered ${status}`;
}

/** An answer that is one, or an error with the hub's words. */
export async function asked(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refused(0, "the hub cannot be reached");
  }
  if (response.ok) return response;
  throw new Refused(response.status, refusal(response.status, await response.text()));
}

export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** Not a sentence of the hub, but with one inside. */
export const sentence = (words) => {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
};
