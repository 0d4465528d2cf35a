// Numbers, times and refusals for people, and elements made of text: published text is never parsed as HTML.

export const find = (id) => document.getElementById(id);

/** Makes an element with these properties (`data-…`, `class` and others as attributes) and children. */
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

/** A rate per second, with a decimal digit where it matters. */
export const rate = (value) => (value < 10 && value % 1 ? value.toFixed(1) : count(Math.round(value)));

/** A large number, shortened. */
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

/** A duration in seconds, in a suitable unit. */
export const duration = (seconds) => {
  for (const [unit, size] of [["s", 1], ["ms", 1e-3]]) {
    if (seconds >= size) return `${(seconds / size).toFixed(seconds < 10 * size ? 1 : 0)} ${unit}`;
  }
  return `${Math.round(seconds * 1e6)} µs`;
};

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** The time of day, with the date if it is not today. */
export const time = (at) => {
  const when = new Date(at);
  const isToday = when.toDateString() === new Date().toDateString();
  return isToday ? clock.format(when) : `${date.format(when)}, ${clock.format(when)}`;
};

/** An expression of a URI template (RFC 6570). */
const EXPRESSION = /\{[+#./;?&]?[\w.%]+(?::[1-9]\d{0,3}|\*)?(?:,[\w.%]+(?::[1-9]\d{0,3}|\*)?)*\}/g;

/** A remark about a selector with braces that is no URI template, which the hub takes as an exact topic. */
export function braces(selector) {
  if (!/[{}]/.test(selector.replace(EXPRESSION, ""))) return "";
  return `“${selector}” is not a URI template such as /books/{id}: it matches only the topic with exactly this text.`;
}

/** The text of a refusal: the detail of a problem, or else the answer. */
export function refusal(status, body) {
  try {
    const { detail, title } = JSON.parse(body);
    if (detail || title) return detail ?? title;
  } catch {}
  return body?.trim().slice(0, 300) || `the hub answered ${status}`;
}

/** Returns the answer, or throws an error with the hub's text. */
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

/** Makes a sentence of the words of the hub. */
export const sentence = (words) => {
  const text = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
};
