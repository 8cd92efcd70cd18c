// pages/skills.js - what was learned: skills that serve or are on trial, how their calls went, where they came from, what they
// may do.

import * as api from "../api.js";
import * as beside from "../beside.js";
import { h, visible } from "../dom.js";
import { version } from "../format.js";
import { facts, time } from "../parts.js";
import * as values from "../value.js";

const SIGNS = { active: "✓", shadow: "◷", replaced: "↷", demoted: "⊘", removed: "■" };

const state = (name) => h("span", { class: `status ${name === "active" ? "s-finished" : name === "shadow" ? "s-waiting" : "s-cancelled"}` }, `${SIGNS[name] ?? "•"} ${name}`);
const went = (one) => (one.calls > 0 ? `${one.good} of ${one.calls} calls went well` : "no calls yet");

function row(one) {
  return h("div", { class: "thing" }, state(one.state), h("span", { class: "name" }, `${visible(one.name)} ${visible(one.version)}`),
    h("span", { class: "dim" }, went(one)), h("span", { class: "dim when" }, time(one.at)));
}

function card(one) {
  return h("section", {}, h("h3", {}, visible(one.version), " ", h("span", { class: "mono" }, version(one.hash)), " ", state(one.state)),
    facts([["calls", went(one)], ["may", one.may.length > 0 ? visible(one.may.join(", ")) : "nothing but compute"], ["from", visible([one.origin?.place, one.origin?.at].filter(Boolean).join(" "))], ["by", visible(one.by ?? "")],
      ["author", one.author && visible(one.author)], ["since", time(one.at)], ["why", one.cause && visible(typeof one.cause === "string" ? one.cause : JSON.stringify(one.cause))]]),
    one.trial && h("details", {}, h("summary", {}, "Trial"), values.copyable(one.trial)),
    typeof one.source === "string" && h("details", {}, h("summary", {}, "Source"), h("pre", { class: "source", tabindex: "0" }, visible(one.source))));
}

async function show(name) {
  const skill = await api.get(["skills", name]);
  const versions = [...skill.versions].reverse();
  return [h("h2", {}, visible(skill.name)), versions[0].description && h("p", {}, visible(versions[0].description)), versions.map(card)];
}

/** Opens the page. */
export function open(root, place) {
  return beside.open(root, place, { page: "skills", title: "Skills", key: (one) => one.name, render: row, show, load: () => api.get(["skills"]),
    empty: "Nothing was learned yet.", hint: ["A plan that lacks a capability has the scout look for it; ", h("code", {}, "weir skills find"), " does so by hand."] });
}
