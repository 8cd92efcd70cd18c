// pages/run.js - one run: its head, what can be done to it, its steps over time and as a graph, StepData, journal, the live
// stream, and a panel about the step that is chosen.

import * as actions from "../actions.js";
import * as api from "../api.js";
import { calm, h, replace, visible } from "../dom.js";
import { ENDED, between, isOver, version, waits } from "../format.js";
import * as graphs from "../graph.js";
import * as migration from "../migrate.js";
import * as panels from "../panel.js";
import { button, facts, problem, runLink, status, time } from "../parts.js";
import * as router from "../router.js";
import { note } from "../steps.js";
import { follow } from "../stream.js";
import * as tabs from "../tabs.js";
import * as timelines from "../timeline.js";

const LONGEST_MS = 4000; // until a run is read again of which something is heard
const TABS = [["timeline", "Timeline", "1"], ["graph", "Graph", "2"], ["data", "StepData", "3"], ["journal", "Journal", "4"], ["stream", "Stream", "5"]];

/** Opens the page. */
export function open(root, place) {
  const id = place.parts[0];
  let { query } = place;
  let run = null;
  let normal;
  let isClosed = false;
  let stream = null;

  const header = h("header", { class: "run-head" });
  const tabbar = h("div", { class: "tabs", role: "tablist", "aria-label": "Views" });
  const view = h("div", { class: "view", role: "tabpanel", tabindex: "-1" });
  const choose = (step) => router.filter({ step: step.key });
  const panel = panels.create(() => router.filter({ step: "" }));
  const timeline = timelines.create({ open: choose });
  const live = tabs.stream();
  const journal = tabs.journal(id);
  const data = tabs.data(id);
  root.append(header, tabbar, h("div", { class: "split" }, view, panel.node));

  const tab = () => (TABS.some(([name]) => name === query.tab) ? query.tab : "timeline");

  // The head ----------------------------------------------------------------------------------------

  const migrate = () => migration.run({ run: id, pipeline: run.pipeline }, () => loadSoon(0));

  function tools() {
    const has = ENDED.has(run.status);
    const isStopped = run.status === "quarantined" || run.waiting?.some((wait) => wait.kind === "paused");
    return h("div", { class: "run-tools" }, has && run.status !== "quarantined" && button("Retry", "R", () => actions.retry(id)),
      !has && button("Pause", "p", () => actions.pause(id)), (!has && run.status !== "running") || isStopped ? button("Resume", "u", () => actions.resume(id)) : null,
      !has && button("Signal", "s", () => actions.signal(id, run.waiting)), !has && button("Migrate", "m", migrate), !has && button("Cancel", "x", () => actions.cancel(id), "danger"));
  }

  function drawHead() {
    const waiting = run.waiting ?? [];
    replace(header, h("div", { class: "head" }, h("h1", {}, status(run.status), " ", h("span", { class: "pipeline" }, run.pipeline)), tools()),
      facts([["run", h("span", { class: "mono" }, id)], ["version", h("span", { class: "mono", title: run.version }, version(run.version))], ["began", time(run.started_at)],
        ["ended", run.ended_at && time(run.ended_at)], ["took", h("span", { class: "took" }, between(run.started_at, run.ended_at))],
        ["steps", run.steps.length], ["began with", run.of && runLink(run.of.run, `${run.of.run}${run.of.from ? ` from ${run.of.from}` : ""}`)],
        ["parent", run.parent && runLink(run.parent.run ?? run.parent)]]),
      run.error && h("p", { class: "problem", role: "alert" }, h("b", {}, `✗ ${run.error.code} `), run.error.step && `${run.error.step}: `, visible(run.error.message)),
      waiting.length > 0 && h("ul", { class: "waits" }, waiting.map((wait) => h("li", {}, "◷ ", waits(wait), wait.kind === "approval" || wait.kind === "in_doubt"
        ? [" ", h("a", { href: router.address(["approvals", wait.id]) }, "decide")] : null))));
  }

  // Views -------------------------------------------------------------------------------------------

  const VIEWS = {
    timeline() {
      timeline.set(run);
      if (!timeline.node.isConnected) replace(view, timeline.node);
    },
    graph() {
      const box = view.firstElementChild;
      const left = box?.scrollLeft ?? 0;
      const focused = document.activeElement?.getAttribute("aria-label");
      const picture = graphs.draw(run, normal, choose);
      replace(view, picture);
      picture.scrollLeft = left;
      if (focused) [...picture.querySelectorAll("[role=button]")].find((node) => node.getAttribute("aria-label") === focused)?.focus({ preventScroll: true });
    },
    data: () => data.show(view, run),
    journal: () => journal.show(view, run),
    stream: () => live.show(view),
  };

  function drawTabs() {
    replace(tabbar, TABS.map(([name, label, key]) => h("button", { type: "button", role: "tab", "aria-selected": String(tab() === name), "aria-keyshortcuts": key,
      onclick: () => router.filter({ tab: name === "timeline" ? "" : name }) }, label)));
  }

  const drawing = calm(120, () => {
    if (isClosed || !run) return;
    drawHead();
    VIEWS[tab()]();
  });

  function drawPanel() {
    root.classList.toggle("has-panel", Boolean(query.step));
    if (query.step) panel.show(run, query.step);
    else panel.close();
  }

  // The run -----------------------------------------------------------------------------------------

  async function loadDefinition() {
    if (normal !== undefined) return;
    normal = null;
    const kept = await api.getOrNothing(["definitions", run.version]).catch(() => null);
    normal = kept?.normal ?? null;
    if (normal) drawing();
  }

  let cost = 0; // of the last reading, ms

  async function load() {
    const from = performance.now();
    try {
      const whole = await api.get(["runs", id]);
      if (isClosed) return;
      cost = performance.now() - from;
      run = whole;
      drawing();
      drawPanel();
      loadDefinition();
    } catch (error) {
      if (!isClosed && !run) replace(view, problem(error));
    }
  }

  let soon = null;

  // Read again, the more seldom the longer reading takes; events fill the time between.
  function loadSoon(wait = 600) {
    soon ??= setTimeout(() => {
      soon = null;
      load();
    }, Math.max(wait, Math.min(LONGEST_MS, cost * 5)));
  }

  function hear(event) {
    const { kind, data: said } = event;
    live.hear(event);
    if (kind === "metric" || kind === "progress") return;
    if (["item", "items", "rewind"].includes(kind) && run?.steps.find((step) => step.key === said.step)?.status === "running") return;
    if (kind === "gap" || !run) return void loadSoon(0);
    const steps = note(run.steps, event);
    if (steps) run = { ...run, steps };
    if (kind === "run") run = { ...run, status: said.status, error: said.error ?? null, waiting: said.status === "running" ? [] : run.waiting };
    if (kind === "run" || kind === "now") loadSoon(ENDED.has(said.status) ? 50 : 150);
    else loadSoon();
    drawing();
  }

  // A run that has ended may begin another life: the stream is opened again while the page is.
  function listen() {
    stream = follow(api.path(["runs", id, "stream"]), { onEvent: hear, isLast: ({ kind, data: said }) => (kind === "run" || kind === "now") && ENDED.has(said.status) && said.status !== "quarantined" });
  }

  const ticking = setInterval(() => {
    if (!run || run.ended_at) return;
    if (run.waiting?.some((wait) => isOver(wait))) loadSoon();
    const took = header.querySelector(".took");
    if (took) took.textContent = between(run.started_at);
    if (tab() === "timeline" && run.steps.length < 800) timeline.tick();
  }, 1000);

  drawTabs();
  replace(view, h("p", { class: "hint" }, "…"));
  load();
  listen();

  const key = () => query.step || timeline.list.items()[timeline.list.at()]?.key;
  return {
    update(now) {
      const before = tab();
      query = now.query;
      drawTabs();
      if (!run) return;
      if (before !== tab()) VIEWS[tab()]();
      drawPanel();
    },
    close() {
      isClosed = true;
      clearInterval(ticking);
      clearTimeout(soon);
      drawing.cancel();
      stream.close();
      timeline.close();
      journal.close();
    },
    keys: [
      { keys: "j, ArrowDown", says: "next step", does: () => (tab() === "timeline" ? void (timeline.list.node.focus(), timeline.list.move(1)) : tab() === "journal" ? journal.move(1) : false) },
      { keys: "k, ArrowUp", says: "the step before", does: () => (tab() === "timeline" ? void (timeline.list.node.focus(), timeline.list.move(-1)) : tab() === "journal" ? journal.move(-1) : false) },
      { keys: "Enter", says: "open the step", does: (event) => (tab() === "timeline" && !event.target.closest("a, button") ? timeline.list.openSelected() : false) },
      { keys: "o", says: "open or close what is inside", does: () => timeline.toggle() },
      { keys: "Escape", says: "close the step", does: () => (query.step ? router.filter({ step: "" }) : false) },
      ...TABS.map(([name, label, press]) => ({ keys: press, says: label, does: () => router.filter({ tab: name === "timeline" ? "" : name }) })),
      { keys: "r", says: "retry from the step", does: () => run && ENDED.has(run.status) && key() && actions.retry(id, key()) },
      { keys: "f", says: "fork at the step", does: () => key() && actions.fork(id, key()) },
      { keys: "R", says: "retry the run", does: () => run && ENDED.has(run.status) && actions.retry(id) },
      { keys: "p", says: "pause", does: () => run && !ENDED.has(run.status) && actions.pause(id) },
      { keys: "u", says: "resume", does: () => run && run.status !== "running" && actions.resume(id) },
      { keys: "s", says: "send a signal", does: () => run && !ENDED.has(run.status) && actions.signal(id, run.waiting) },
      { keys: "m", says: "migrate to another version", does: () => run && !ENDED.has(run.status) && void migrate() },
      { keys: "x", says: "cancel", does: () => run && !ENDED.has(run.status) && actions.cancel(id) },
    ],
  };
}
