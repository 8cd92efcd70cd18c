// timeline.js - the steps of a run over its time: waiting for a turn, work, waiting for people or time, each attempt that
// failed. Only the rows that are seen are in the page, so that thousands of steps stay smooth.

import { h, replace } from "./dom.js";
import { between, ms, seconds, words } from "./format.js";
import * as lists from "./list.js";
import { status } from "./parts.js";
import { IDLE, inside, readyTimes, rows, tree } from "./steps.js";

const percent = (value) => `${value.toFixed(3)}%`;

// Round distances between the lines of the axis.
function distance(length) {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 15000, 30000, 60000, 120000, 300000, 600000, 1800000,
    3600000, 10800000, 21600000, 86400000, 604800000];
  return steps.find((one) => length / one <= 6) ?? steps.at(-1) * Math.ceil(length / steps.at(-1) / 6);
}

/** options: open(step). Gives {node, set(run), list, tick, close}. */
export function create({ open }) {
  const opened = new Set();
  let run = null;
  let forest = null;
  let ready = new Map();
  let from = 0;
  let to = 1;
  let changes = 0;

  const axis = h("div", { class: "axis", "aria-hidden": "true" });
  const list = lists.create({ label: "Steps by time", height: () => 26, key: (row) => row.key, render: (row) => draw(row),
    stamp: (row) => `${changes}|${row.isOpen}|${row.depth}`, open: (row) => open(row.step) });
  const legend = h("p", { class: "legend" }, h("span", { class: "l-queue" }), "waits for its turn ", h("span", { class: "l-work" }), "work ", h("span", { class: "l-idle" }),
    "waits for people, signals or time ", h("span", { class: "l-attempt" }, "✗"), "a failed attempt");
  const node = h("div", { class: "timeline" }, axis, list.node, legend);

  const place = (time) => Math.max(0, Math.min(100, ((time - from) / (to - from)) * 100));

  function bar(name, start, end, title) {
    return h("span", { class: `bar ${name}`, title, style: { left: percent(place(start)), width: percent(Math.max(0.15, place(end) - place(start))) } });
  }

  function span(step) {
    const start = ms(step.started_at);
    if (start === null) return null;
    const end = step.ended_at ? ms(step.ended_at) : Math.max(start, run.ended_at ? ms(run.ended_at) : Date.now());
    return { start, end };
  }

  function track(row) {
    const { step } = row;
    const found = span(step);
    if (!found) return h("span", { class: "track" });
    const waited = ready.get(step.key) ?? found.start;
    const isIdle = IDLE.has(step.agent) || step.status === "waiting";
    return h("span", { class: "track" },
      found.start - waited > 1 && bar("b-queue", waited, found.start, `waited ${seconds((found.start - waited) / 1000)} for its turn`),
      bar(`${isIdle ? "b-idle" : "b-work"} s-${step.status}`, found.start, found.end, `${words(step.status)}, ${between(step.started_at, step.ended_at)}`),
      (step.attempts ?? []).map((one) => h("span", { class: "mark", title: `attempt ${one.attempt} failed: ${one.error?.message ?? ""}`,
        style: { left: percent(place(ms(one.ended_at))) } }, "✗")));
  }

  function summary(row) {
    const found = inside(row.node);
    return found && h("span", { class: "many" }, `${found.count} · ${found.says}`);
  }

  function toggle(row) {
    if (row.isOpen) {
      opened.delete(row.key);
      opened.add(`-${row.key}`);
    } else {
      opened.add(row.key);
      opened.delete(`-${row.key}`);
    }
    arrange();
  }

  function draw(row) {
    const { step } = row;
    const turn = row.count > 0 ? h("button", { type: "button", class: "turn", "aria-expanded": String(row.isOpen), "aria-label": row.isOpen ? "Close" : "Open", tabindex: "-1",
      onclick: () => toggle(row) }, row.isOpen ? "▾" : "▸") : h("span", { class: "turn" });
    const took = h("span", { class: "took" }, step.started_at ? between(step.started_at, step.ended_at ?? run.ended_at) : "");
    const name = row.node.parent && step.key.startsWith(`${row.node.parent.key}`) ? step.key.slice(row.node.parent.key.length).replace(/^\//, "") : step.key;
    const label = h("span", { class: "label", title: step.key, style: { "padding-left": `${row.depth * 12}px` } }, turn, status(step.status, { isShort: true }),
      h("span", { class: "name" }, name), step.attempt > 1 && h("span", { class: "tries", title: `attempt ${step.attempt}` }, `×${step.attempt}`), summary(row));
    return h("div", { class: "step", "aria-label": `${step.key}, ${words(step.status)}` }, label, track(row), took);
  }

  function arrange() {
    list.set(rows(forest, opened));
  }

  function drawAxis() {
    const gap = distance(to - from);
    const marks = [];
    for (let at = 0; at <= to - from; at += gap) marks.push(h("span", { style: { left: percent(place(from + at)) } }, at === 0 ? "0" : seconds(at / 1000)));
    replace(axis, h("span", { class: "label" }), h("span", { class: "track" }, marks), h("span", { class: "took" }));
  }

  function set(next) {
    run = next;
    changes += 1;
    from = ms(run.started_at) ?? Date.now();
    const ends = run.steps.map((step) => ms(step.ended_at) ?? 0);
    to = Math.max(from + 10, run.ended_at ? ms(run.ended_at) : run.status === "running" ? Date.now() : 0, ends.reduce((a, b) => Math.max(a, b), 0));
    if (!run.ended_at && run.status !== "running") to = Math.max(to, Date.now());
    ready = readyTimes(run.steps);
    forest = tree(run.steps);
    drawAxis();
    arrange();
  }

  return { node, set, list, toggle: () => {
    const row = list.items()[list.at()];
    if (row && row.count > 0) toggle(row);
  }, tick: () => run && !run.ended_at && set(run), close: list.close };
}
