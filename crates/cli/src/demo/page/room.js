// The chat room: visitors, messages, and the form to send one.

import { Follow } from "./follow.js";

/** Number of messages and notices that stay on the page. */
const KEPT = 200;
const NAME = "ssekit.name";
const find = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export class Room extends EventTarget {
  #log = find("talk");
  #talk = this.#log.firstElementChild;
  #follow = new Follow(this.#log);
  #gathered = false;
  #last;
  #name = remembered() ?? invented();

  constructor() {
    super();
    const field = find("name");
    field.value = this.#name;
    field.addEventListener("change", () => this.#rename(field));
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      field.blur();
      find("text").focus();
    });
    find("say").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  get name() {
    return this.#name;
  }

  /** Clears the room, and shows the reason. */
  clear(why) {
    this.#talk.replaceChildren();
    this.#gathered = false;
    this.note(why);
  }

  /** Adds a notice of the page between the messages. */
  note(...content) {
    const item = document.createElement("li");
    item.className = "note";
    item.append(...content);
    this.#last = undefined;
    this.#add(item);
  }

  /** Shows a message. */
  hear({ from, text, at }) {
    const item = document.createElement("li");
    item.className = from === this.#name ? "message mine" : "message";
    if (this.#last?.from === from && at - this.#last.at < 120_000) item.classList.add("same");
    this.#last = { from, at };

    const who = document.createElement("p");
    who.className = "from";
    const time = document.createElement("time");
    time.dateTime = new Date(at).toISOString();
    time.textContent = clock.format(at);
    who.append(named(from), time);
    const said = document.createElement("p");
    said.className = "said";
    said.dir = "auto";
    said.textContent = text;
    item.append(who, said);
    this.#add(item);
  }

  /** Shows the visitors, and the last one that joined or left. */
  gather({ people, joined, left }) {
    const count = people.length;
    find("here").textContent = count === 0 ? "nobody here yet" : count === 1 ? "1 here" : `${count} here`;
    const you = people.findIndex(({ name }) => name === this.#name);
    if (you > 0) people.unshift(...people.splice(you, 1));
    find("people").replaceChildren(...people.map((person) => this.#person(person)));
    // The first event shows the present state; its last change may be long ago.
    const [who, what] = joined === undefined ? [left, "left"] : [joined, "joined"];
    if (this.#gathered && who !== undefined && who !== this.#name) this.note(isolated(who), ` ${what}`);
    this.#gathered = true;
  }

  #person({ name, streams }) {
    const item = document.createElement("li");
    const face = document.createElement("span");
    face.className = "face";
    face.ariaHidden = "true";
    face.textContent = [...name][0].toUpperCase();
    face.style.setProperty("--hue", hue(name));
    item.append(face, isolated(name));
    if (name === this.#name) {
      item.className = "you";
      item.append(small("you"));
    }
    if (streams > 1) item.append(small(`${streams} tabs`));
    return item;
  }

  #add(item) {
    const box = this.#talk;
    box.querySelector(".empty")?.remove();
    box.append(item);
    while (box.childElementCount > KEPT) box.firstElementChild.remove();
    if (this.#follow.following || item.classList.contains("mine")) this.#follow.toEnd();
  }

  #rename(field) {
    const name = field.value.trim();
    if (name === "" || name === this.#name) {
      field.value = this.#name;
      return;
    }
    this.#name = name;
    field.value = name;
    remember(name);
    this.dispatchEvent(new Event("rename"));
  }

  async #send() {
    const field = find("text");
    const text = field.value.trim();
    if (text === "") return;
    find("send").disabled = true;
    this.#complain(undefined);
    try {
      const answer = await fetch("chat", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ from: this.#name, text }),
        signal: AbortSignal.timeout(8_000),
      });
      if (!answer.ok) throw new Error((await answer.text()).trim() || `the server answered ${answer.status}`);
      if (field.value.trim() === text) field.value = "";
    } catch (error) {
      const why = error instanceof TypeError ? "the server cannot be reached" : error.message;
      this.#complain(`Not sent: ${why}. Your text is still here.`);
    }
    find("send").disabled = false;
    field.focus();
  }

  #complain(text) {
    find("problem").hidden = text === undefined;
    find("problem").textContent = text ?? "";
  }
}

/** Isolates a name in any writing direction. */
function isolated(name) {
  const text = document.createElement("bdi");
  text.textContent = name;
  return text;
}

function named(name) {
  const text = isolated(name);
  text.style.setProperty("--hue", hue(name));
  return text;
}

function small(text) {
  const item = document.createElement("small");
  item.textContent = text;
  return item;
}

/** Color of a name, the same everywhere. */
function hue(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) % 997;
  return (sum * 137) % 360;
}

function invented() {
  const pick = (words) => words[Math.floor(Math.random() * words.length)];
  const name = `${pick(["Calm", "Swift", "Bright", "Quiet", "Merry", "Bold", "Kind", "Keen"])} ${pick([
    "Heron", "Otter", "Falcon", "Badger", "Lynx", "Finch", "Marten", "Crab",
  ])}`;
  remember(name);
  return name;
}

// A browser may forbid storage; the name then lasts as long as the page.
function remembered() {
  try {
    return localStorage.getItem(NAME) || undefined;
  } catch {
    return undefined;
  }
}

function remember(name) {
  try {
    localStorage.setItem(NAME, name);
  } catch {}
}
