// Reasons why a token is refused: the hub's own checks, one by one.

import { pure } from "./access.js";
import { asked, find, make, sentence } from "./words.js";

const checks = find("checks");
const verdict = find("verdict");
/** The number of the current question: answers to earlier ones are dropped. */
let question = 0;

function show({ allowed, checks: found, header, claims }) {
  verdict.hidden = false;
  verdict.dataset.kind = allowed ? "good" : "bad";
  verdict.textContent = allowed ? "Allowed" : "Refused";
  checks.replaceChildren(
    ...found.map(({ name, passed, detail }) => {
      const mark = make("span", { class: "mark-check", "aria-hidden": "true" }, passed ? "✓" : "✗");
      const text = make("span", {}, make("b", {}, `${passed ? "" : "not "}passed: `), `${name}: `, detail);
      text.firstChild.className = "hidden";
      return make("li", { class: passed ? "passed" : "failed" }, mark, text);
    }),
  );
  const said = [["header", header], ["claims", claims]].filter(([, value]) => value !== null && value !== undefined);
  find("said").hidden = said.length === 0;
  find("said-text").textContent = said.map(([name, value]) => `${name} ${JSON.stringify(value, null, 2)}`).join("\n");
}

// The answer to an earlier question does not apply to the edited one.
find("explain").addEventListener("input", () => {
  question += 1;
  verdict.hidden = true;
  checks.replaceChildren();
  find("said").hidden = true;
});

find("explain").addEventListener("submit", async (event) => {
  event.preventDefault();
  question += 1;
  const mine = question;
  const topics = find("explain-topics").value.split("\n").map((topic) => topic.trim()).filter(Boolean);
  const action = new FormData(event.target).get("action");
  const body = JSON.stringify({ token: pure(find("explain-token").value), action, topics });
  try {
    const request = fetch("explain", { method: "POST", headers: { "content-type": "application/json" }, body });
    const answer = await (await asked(request)).json();
    if (mine === question) show(answer);
  } catch (error) {
    if (mine !== question) return;
    verdict.hidden = false;
    verdict.dataset.kind = "bad";
    verdict.textContent = sentence(error.message);
    checks.replaceChildren();
    find("said").hidden = true;
  }
});
