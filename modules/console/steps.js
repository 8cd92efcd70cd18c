// steps.js - what can be said of the steps of a run: which stands inside which, which items of a map count as one, how
// long each had to wait for its turn. Pure.

import { SIGNS, ms } from "./format.js";

const MANY = 12; // items of a map from which on they stand as one, until somebody opens them

/** The key of what a step stands in, or null: `a/b` in `a`, `m[3]` in `m`, `m[3]/x` in `m[3]`. */
export function outer(key) {
  const slash = key.lastIndexOf("/");
  const bracket = key.endsWith("]") ? key.lastIndexOf("[") : -1;
  const at = Math.max(slash, bracket);
  return at > 0 ? key.slice(0, at) : null;
}

/** The steps as a tree: each {step, key, depth, children, parent}; groups themselves are no steps. */
export function tree(steps) {
  const byKey = new Map(steps.map((step) => [step.key, { step, key: step.key, children: [], parent: null }]));
  const roots = [];
  for (const node of byKey.values()) {
    let key = outer(node.key);
    while (key !== null && !byKey.has(key)) key = outer(key);
    node.parent = key === null ? null : byKey.get(key);
    (node.parent ? node.parent.children : roots).push(node);
  }
  return { roots, byKey };
}

function tally(nodes) {
  const counts = {};
  for (const { step } of nodes) counts[step.status] = (counts[step.status] ?? 0) + 1;
  return counts;
}

/** What stands in a step, as {count, says}, or null: the steps in it, or the items of a large map, which are no steps. */
export function inside({ step, children }) {
  if (children.length === 0 && !step.items) return null;
  const { total, failed } = step.items ?? {};
  const count = children.length || total;
  const counts = children.length > 0 ? tally(children) : { finished: total - failed, ...(failed > 0 && { failed }) };
  return { count, says: Object.entries(counts).map(([name, many]) => `${SIGNS[name] ?? ""}${many}`).join(" ") };
}

/** The rows of a timeline: a step each, those of a map in one row until it is opened. */
export function rows(forest, opened) {
  const result = [];
  const visit = (node, depth) => {
    const { children } = node;
    const isOpen = opened.has(node.key) || (children.length > 0 && children.length < MANY && !opened.has(`-${node.key}`));
    result.push({ node, step: node.step, key: node.key, depth, isOpen, count: children.length });
    if (isOpen) for (const child of children) visit(child, depth + 1);
  };
  for (const root of forest.roots) visit(root, 0);
  return result;
}

/** When a step could have begun: an item of a map with its map, a step of a group with the first of the group. */
export function readyTimes(steps) {
  const groups = new Map();
  const begun = new Map();
  const groupOf = (step) => (step.key.endsWith("]") ? null : `${outer(step.key) ?? ""}|${step.group ?? step.key}|${step.visit}`);
  for (const step of steps) {
    const from = ms(step.started_at);
    begun.set(step.key, from);
    const group = groupOf(step);
    if (group && from !== null) groups.set(group, Math.min(groups.get(group) ?? Infinity, from));
  }
  const ready = new Map();
  for (const step of steps) {
    const from = ms(step.started_at);
    if (from === null) continue;
    const map = /\[\d+\]$/.test(step.key) ? begun.get(outer(step.key)) : undefined;
    ready.set(step.key, Math.min(from, map ?? groups.get(groupOf(step)) ?? from));
  }
  return ready;
}

/** Steps that wait instead of working. */
export const IDLE = new Set(["approval", "wait", "sleep"]);

/** Puts an event of a run into its steps; gives the new list, or null when nothing changed. */
export function note(steps, { kind, data }) {
  if (kind !== "step" && kind !== "waiting" && kind !== "retry") return null;
  const at = steps.findIndex((step) => step.key === data.step);
  const old = at >= 0 ? steps[at] : { key: data.step, step: data.name ?? data.step.replace(/^.*\//, "").replace(/\[\d+\]$|#\d+$/g, ""), group: null, visit: 1, attempt: 1, attempts: [], status: "running",
    started_at: null, ended_at: null, error: null, agent: null };
  const step = { ...old };
  const when = data.at_ms ? new Date(data.at_ms).toISOString() : new Date().toISOString();
  if (kind === "waiting") step.status = "waiting";
  if (kind === "retry") step.attempt = (data.attempt ?? step.attempt) + 1;
  if (kind !== "step") step.started_at ??= when;
  if (kind === "step") {
    step.status = data.status;
    if (data.status === "running") step.started_at ??= when;
    else if (data.status !== "waiting") step.ended_at = when;
    if (data.error) step.error = data.error;
    if (data.attempt) step.attempt = data.attempt;
  }
  return at >= 0 ? steps.with(at, step) : [...steps, step];
}
