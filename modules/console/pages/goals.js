// pages/goals.js - what steps have planned for: each goal with its plans, and what came of them.

import * as api from "../api.js";
import * as beside from "../beside.js";
import { h, visible } from "../dom.js";
import { seconds, version } from "../format.js";
import { facts, runLink, status, time } from "../parts.js";

const LIMIT = 100;

function row(goal) {
  return h("div", { class: "thing" }, status(goal.status), h("span", { class: "name" }, visible(goal.says)), h("span", { class: "dim" }, goal.pipeline ?? ""),
    h("span", { class: "dim when" }, time(goal.at)));
}

const money = (usd) => (usd ? `${usd.toFixed(4)} USD` : null);

function plan(one, at) {
  const took = [one.seconds !== null && seconds(one.seconds), money(one.usd)].filter(Boolean).join(", ");
  return h("section", {}, h("h3", {}, `Plan ${at + 1} `, h("span", { class: "mono" }, version(one.version)), " ", status(one.status), took && ` ${took}`),
    one.reused && h("p", { class: "hint" }, "made for ", h("a", { href: `#/goals/${encodeURIComponent(one.reused)}` }, one.reused)),
    one.says && h("p", { class: "hint" }, `estimate: ${visible(one.says)}`),
    h("pre", { class: "source", tabindex: "0" }, one.steps.map(visible).join("\n")), one.error && h("p", { class: "problem" }, `✗ ${visible(one.error.message)} (${one.error.code})`));
}

async function show(id) {
  const goal = await api.get(["goals", id]);
  return [h("h2", {}, visible(goal.says)), facts([["status", status(goal.status)], ["wanted", visible(goal.want.join(", "))], ["pipeline", goal.pipeline],
    ["step", goal.step], ["planner", goal.planner], ["run", goal.run && runLink(goal.run)], ["at", time(goal.at)], ["score", goal.score?.toFixed(2)]]),
  goal.error && h("p", { class: "problem" }, `✗ ${visible(goal.error.message)} (${goal.error.code})`), goal.plans.map(plan)];
}

/** Opens the page. */
export function open(root, place) {
  return beside.open(root, place, { page: "goals", title: "Goals", key: (goal) => goal.goal, render: row, show,
    load: (cursor) => api.get(["goals"], { limit: LIMIT, cursor }),
    empty: "No goal was planned for.", hint: ["A step with ", h("code", {}, "plan"), " has a planner put its steps together."] });
}
