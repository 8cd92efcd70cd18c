// pages/candidates.js - what reflections have proposed: what each changes, how it did beside what it is made of, on inputs that
// the reflection knows and on those that it does not, who approved it, what became of it; roll back what was kept.

import * as api from "../api.js";
import * as beside from "../beside.js";
import * as dialog from "../dialog.js";
import * as diffs from "../diff.js";
import { h, visible } from "../dom.js";
import { number, version } from "../format.js";
import { button, facts, runLink, status, time } from "../parts.js";
import * as router from "../router.js";

const LIMIT = 200;

const score = (value) => (value === null || value === undefined ? "?" : String(Number(value.toPrecision(4))));
const both = (scores) => (scores?.after === null || scores?.after === undefined ? "" : `${score(scores.before)} → ${score(scores.after)}`);

function row(one) {
  return h("div", { class: "thing five" }, status(one.state), h("span", { class: "name" }, one.pipeline), h("span", { class: "dim" }, `round ${one.round}: ${visible(one.reason || one.why || "")}`),
    h("span", { class: "dim", title: "score before and after" }, both(one.holdout) || both(one.tuning)), h("span", { class: "dim when" }, time(one.at)));
}

// The kind and name under which what it made can serve.
function target(one) {
  if (!one.module) return ["pipeline", one.pipeline];
  const [folder, ...name] = one.module.split("/");
  return [folder.replace(/s$/, ""), name.join("/")];
}

const rollback = (one, again) => dialog.attempt(async () => {
  const done = await api.post(["modules", ...target(one), "rollback"], {});
  dialog.toast(`version ${version(done.to)} serves again, until its file changes`, "good");
  again();
});

// Showing ----------------------------------------------------------------------------------------------

// JSON with its names in order, so that what is equal looks equal.
const pretty = (value) => JSON.stringify(value, (_, inner) => (inner && typeof inner === "object" && !Array.isArray(inner)
  ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner), 2);

const KINDS = { "+": "added", "-": "removed" };

function change(one) {
  if (one.changes.length === 0) return h("p", { class: "hint" }, "nothing");
  if (one.before && one.after) return diffs.view(pretty(one.before), pretty(one.after));
  return h("div", { class: "diff", role: "list" }, one.changes.map((line) => h("div", { class: KINDS[line[0]] ?? "same", role: "listitem" }, visible(line))));
}

function inputs(title, scores) {
  if (!scores || scores.inputs.length === 0) return null;
  return h("details", { class: "family" }, h("summary", {}, `${title}: ${both(scores) || "not measured"}, ${scores.inputs.length} ${scores.inputs.length === 1 ? "input" : "inputs"}`),
    h("table", {}, scores.inputs.map((each) => h("tr", {}, h("td", { class: "mono" }, version(each.input)), h("td", { class: "amount" }, score(each.before)), h("td", { class: "amount" }, score(each.after)),
      h("td", {}, each.error && visible(each.error.message ?? each.error))))));
}

function cost(of) {
  if (!of) return null;
  return [`${number(of.steps)} steps, ${number(of.reused)} of them done before`, of.tokens > 0 && `${number(of.tokens)} tokens`, of.usd > 0 && `${of.usd.toFixed(4)} USD`].filter(Boolean).join(", ");
}

// Whether what it made serves, and the question that waits for a person.
async function standing(one) {
  const [serving, asked] = await Promise.all([one.state === "kept" ? api.getOrNothing(["modules", ...target(one)]) : null,
    one.state === "proposed" ? api.get(["approvals"], { run: one.cycle, limit: 1 }) : null]);
  return { serves: serving !== null && serving.version === (one.module ? one.module_version : one.version), question: asked?.items[0] };
}

async function show(id, items, again) {
  const one = await api.get(["candidates", id]);
  const { serves, question } = await standing(one);
  const made = version(one.module ? one.module_version : one.version);
  return [h("h2", {}, `${one.pipeline}, round ${one.round}`), one.reason && h("p", {}, visible(one.reason)),
    serves && h("div", { class: "buttons" }, button("Roll back", "b", () => rollback(one, again))),
    facts([["state", [status(one.state), one.state === "kept" && (serves ? ", serves now" : ", something else serves now"), question && [" ", h("a", { href: router.address(["approvals", question.id]) }, "decide")]]], ["why", one.why && visible(`${one.code ? `${one.code}: ` : ""}${one.why}`)], [one.state === "refused" ? "refused by" : "approved by", one.by && visible(one.by)],
      ["known", both(one.tuning)], ["held out", both(one.holdout)], ["trials", cost(one.cost)],
      ["made of", h("span", { class: "mono" }, version(one.parent))], ["is", made && h("span", { class: "mono" }, made)], ["module", one.module],
      ["after run", one.run && runLink(one.run)], ["reflection", runLink(one.cycle)], ["at", time(one.at)], ["ended", time(one.ended_at)]]),
    h("h3", {}, "What it changes"), change(one), h("h3", {}, "Scores before and after"), inputs("known", one.tuning), inputs("held out", one.holdout),
    !one.tuning && !one.holdout && h("p", { class: "hint" }, "It was not tried.")];
}

/** Opens the page. */
export function open(root, place) {
  return beside.open(root, place, { page: "candidates", title: "Candidates", key: (one) => one.id, render: row, show,
    load: (cursor) => api.get(["candidates"], { limit: LIMIT, cursor }), keys: () => [beside.presses("b", "roll back what was kept")],
    empty: "Nothing was proposed yet.", hint: ["A pipeline with ", h("code", {}, "reflect"), " is reflected on after each run."] });
}
