// Publications: a form by POST, as from any client of the protocol.

import { access, settings } from "./access.js";
import { asked, find, make, sentence } from "./words.js";

const form = find("publish");
const said = find("publish-said");

function say(kind, ...words) {
  said.dataset.kind = kind;
  said.replaceChildren(...words);
  said.hidden = false;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const update = new URLSearchParams();
  for (const topic of find("topics").value.split("\n")) {
    if (topic.trim()) update.append("topic", topic.trim());
  }
  update.append("data", find("data").value);
  if (find("private").checked) update.append("private", "on");
  for (const name of ["type", "id", "retry"]) {
    const value = find(`publish-${name}`).value.trim();
    if (value) update.append(name, value);
  }
  const send = find("send");
  send.disabled = true;
  try {
    const headers = access.headers(find("publish-token").value);
    const response = await asked(fetch(settings.path, { method: "POST", headers, body: update }));
    const id = await response.text();
    say("good", "Published: ", make("code", { id: "published-id" }, id));
  } catch (error) {
    say("bad", `Not published. ${sentence(error.message)}`);
  }
  send.disabled = false;
});

// The refusal of an earlier request does not apply to the edited one, nor to one with another token.
const forget = () => {
  if (said.dataset.kind === "bad") said.hidden = true;
};
form.addEventListener("input", forget);
access.addEventListener("change", forget);

// Ctrl-Enter sends, from any field.
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
