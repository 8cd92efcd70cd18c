// graph.js - a run as its definition is built: groups as columns, steps in them, branches as lines below, the step that runs
// lit, a map's items in one box. A flow has no groups: what is drawn is what it did, in the order in which it did.

import { svg, h, visible } from "./dom.js";
import { SIGNS, words } from "./format.js";
import { inside, tree } from "./steps.js";

const BOX = { width: 168, height: 46, gap: 12 };
const COLUMN = { gap: 48, pad: 12, head: 26 };
const CHARACTER = 6.3; // width of one in a label

// What stands in one column: {name, boxes: [{name, kind, nodes}], branch}.
function ofDefinition(normal, forest) {
  return normal.groups.map((group) => ({ name: group.name, branch: group.branch, isBare: group.steps.length === 1 && group.steps[0].name === group.name,
    boxes: group.steps.map((step) => ({ name: step.name, kind: kindOf(step), nodes: nodesOf(forest, group, step) })) }));
}

const KINDS = ["agent", "pipeline", "map", "sleep", "approval", "wait", "speculate", "plan", "groups"];

function kindOf(step) {
  const kind = KINDS.find((one) => step[one] !== undefined);
  if (kind === "agent" || kind === "pipeline") return String(step[kind]);
  return kind ?? "";
}

const bare = (key) => key.replace(/#\d+/g, "");

function nodesOf(forest, group, step) {
  const isBare = group.steps.length === 1 && group.steps[0].name === group.name;
  const key = isBare ? step.name : `${group.name}/${step.name}`;
  return forest.roots.filter((node) => bare(node.key) === key);
}

// Of a flow: what overlapped in time stands in one column.
function ofSteps(forest) {
  const columns = [];
  const byName = new Map();
  for (const node of forest.roots) {
    const name = bare(node.key);
    if (byName.has(name)) {
      byName.get(name).nodes.push(node);
      continue;
    }
    const box = { name, kind: node.step.agent ?? "", nodes: [node] };
    byName.set(name, box);
    const last = columns.at(-1);
    const overlaps = last && node.step.started_at && last.boxes.some(({ nodes }) => nodes[0].step.ended_at && nodes[0].step.ended_at > node.step.started_at);
    if (overlaps) last.boxes.push(box);
    else columns.push({ name, boxes: [box], isBare: true });
  }
  return columns;
}

function measure(columns) {
  let x = COLUMN.pad;
  let tallest = 0;
  for (const column of columns) {
    column.x = x;
    column.width = BOX.width + 2 * COLUMN.pad;
    column.height = COLUMN.head + column.boxes.length * (BOX.height + BOX.gap) - BOX.gap + COLUMN.pad;
    column.boxes.forEach((box, at) => {
      box.x = x + COLUMN.pad;
      box.y = COLUMN.pad + COLUMN.head + at * (BOX.height + BOX.gap);
    });
    tallest = Math.max(tallest, column.height);
    const label = leads(columns, columns.indexOf(column)).filter((lead) => lead.to === columns.indexOf(column) + 1 && !lead.isFailure)
      .map((lead) => lead.label).join(", ");
    column.gap = Math.max(COLUMN.gap, Math.min(170, label.length * CHARACTER + 26));
    x += column.width + column.gap;
  }
  for (const column of columns) column.bottom = COLUMN.pad + column.height;
  return { width: x + COLUMN.pad, tallest };
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function boxNode(box, open) {
  const latest = box.nodes.at(-1);
  const state = latest ? latest.step.status : "none";
  const inner = latest && inside(latest);
  const under = inner ? `${inner.count} inside: ${inner.says}` : box.kind;
  const visits = box.nodes.length > 1 ? ` ×${box.nodes.length}` : "";
  const says = `${box.name}, ${latest ? words(state) : "not begun"}${visits}${inner ? `, ${under}` : ""}`;
  const node = svg("g", { class: `box s-${state}`, transform: `translate(${box.x} ${box.y})`, tabindex: latest ? "0" : null, role: latest ? "button" : "img",
    "aria-label": says }, svg("title", {}, says), svg("rect", { width: BOX.width, height: BOX.height, rx: 7 }),
    svg("text", { class: "sign", x: 12, y: 20 }, latest ? SIGNS[state] ?? "•" : "·"), svg("text", { class: "name", x: 30, y: 20 }, short(visible(box.name), 17) + visits),
    svg("text", { class: "under", x: 30, y: 37 }, short(visible(under), 24)));
  if (inner?.count > 1) node.prepend(svg("rect", { class: "behind", x: 4, y: 4, width: BOX.width, height: BOX.height, rx: 7 }));
  if (latest) {
    const show = () => open(latest.step);
    node.addEventListener("click", show);
    node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      show();
    });
  }
  return node;
}

// Where a group's labels lead: [label, index of the group, or -1 for the end].
function leads(columns, at) {
  const { branch } = columns[at];
  if (!branch) return at + 1 < columns.length ? [{ label: "", to: at + 1 }] : [];
  const index = (name) => (name === "end" ? -1 : columns.findIndex((column) => column.name === name));
  const found = Object.entries(branch.cases ?? {}).map(([label, name]) => ({ label, to: index(name) }));
  if (branch.default) found.push({ label: found.length > 0 ? "else" : "", to: index(branch.default) });
  else if (!branch.cases || at + 1 < columns.length) found.push({ label: branch.cases ? "else" : "", to: at + 1 });
  if (branch.failed) found.push({ label: "failed", to: index(branch.failed), isFailure: true });
  return found.filter(({ to }) => to < columns.length);
}

function edges(columns, tallest) {
  const nodes = [];
  let lane = 0;
  columns.forEach((column, at) => {
    const merged = new Map();
    for (const lead of leads(columns, at)) {
      const key = `${lead.to}|${lead.isFailure ? 1 : 0}`;
      merged.set(key, merged.has(key) ? { ...lead, label: `${merged.get(key).label}, ${lead.label}` } : lead);
    }
    for (const { label, to, isFailure } of merged.values()) {
      const kind = `edge${isFailure ? " failure" : ""}`;
      const middle = COLUMN.pad + COLUMN.head + BOX.height / 2;
      if (to === at + 1 && !isFailure) {
        const x1 = column.x + column.width;
        const x2 = columns[to].x - 2;
        nodes.push(svg("path", { class: kind, d: `M${x1} ${middle}H${x2 - 4}`, "marker-end": "url(#arrow)" }));
        if (label) nodes.push(svg("text", { class: "edge-label", x: (x1 + x2) / 2, y: middle - 7, "text-anchor": "middle" }, short(visible(label), 26)));
        continue;
      }
      const y = COLUMN.pad + tallest + 20 + lane * 22;
      lane += 1;
      const x1 = column.x + column.width / 2 + 10 * (lane % 3);
      const x2 = to < 0 ? x1 + 60 : columns[to].x + columns[to].width / 2 - (to === at ? 60 : 12) - 8 * (lane % 3);
      const rise = to < 0 ? "" : `V${columns[to].bottom + 6}`;
      nodes.push(svg("path", { class: kind, d: `M${x1} ${column.bottom}V${y}H${x2}${rise}`, "marker-end": "url(#arrow)" }));
      nodes.push(svg("text", { class: "edge-label", x: (x1 + x2) / 2, y: y - 5, "text-anchor": "middle" }, [isFailure && "✗", short(visible(label), 30), to < 0 && "→ end"].filter(Boolean).join(" ")));
    }
  });
  return { nodes, lanes: lane };
}

// The plans that steps of the run have made, in order: each as a graph of its own, with the steps that stand below it.
function plansOf(run, open) {
  return (run.plans ?? []).filter((plan) => plan.normal).map((plan) => {
    const steps = run.steps.filter((step) => step.key.startsWith(plan.prefix)).map((step) => ({ ...step, key: step.key.slice(plan.prefix.length), whole: step }));
    const failed = plan.error ? `, failed: ${plan.error.message}` : "";
    return [h("h3", {}, visible(`${plan.prefix.slice(0, -1)} `), h("span", { class: "mono", title: plan.version }, plan.version.slice(0, 12)),
      h("span", { class: "hint" }, visible(` by ${plan.planner}${plan.reused ? `, made for ${plan.reused}` : ""}${failed}`))),
      picture(steps, plan.normal, (step) => open(step.whole ?? step))];
  });
}

/** Draws a run, and below it the plans that it made. normal: of its definition, or null; open(step) is called for a box. */
export function draw(run, normal, open) {
  return h("div", { class: "graph-box", tabindex: "-1" }, picture(run.steps, normal, open), plansOf(run, open));
}

function picture(steps, normal, open) {
  const forest = tree(steps);
  const columns = normal?.groups ? ofDefinition(normal, forest) : ofSteps(forest);
  if (columns.length === 0) return h("p", { class: "hint" }, "Nothing has begun yet.");
  const { width, tallest } = measure(columns);
  const drawn = edges(columns, tallest);
  const height = COLUMN.pad * 2 + tallest + (drawn.lanes > 0 ? 20 + drawn.lanes * 22 : 0);
  return svg("svg", { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "The groups of the run, from left to right" },
    svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, svg("path", { d: "M0 0L8 4L0 8z" }))),
    columns.map((column) => [svg("rect", { class: "group", x: column.x, y: COLUMN.pad, width: column.width, height: column.height, rx: 10 }),
      svg("text", { class: "group-name", x: column.x + COLUMN.pad, y: COLUMN.pad + 17 }, short(visible(column.name), 24))]),
    drawn.nodes, columns.flatMap((column) => column.boxes.map((box) => boxNode(box, open))));
}
