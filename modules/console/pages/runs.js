// pages/runs.js - all runs, the newest first: counts by status, filters that stand in the address, what each waiting run
// waits for. Pages of the list come as somebody scrolls; what happens is put into the rows that are there.

import * as api from "../api.js";
import { calm, h, replace } from "../dom.js";
import * as events from "../events.js";
import { ENDED, SIGNS, STATUSES, between, isOver, number, version, waits, words } from "../format.js";
import * as lists from "../list.js";
import { head, nothing, problem, runLink, status, time } from "../parts.js";
import * as router from "../router.js";

const PAGE = 200;
const SINCE = [["", "any time"], ["15m", "15 minutes"], ["1h", "an hour"], ["24h", "a day"], ["7d", "a week"], ["30d", "a month"]];

const isNarrow = () => matchMedia("(max-width: 640px)").matches;

function about(run) {
  if (run.waiting?.length > 0) return run.waiting.map((wait) => waits(wait)).join("; ");
  if (run.error) return `${run.error.step ? `${run.error.step}: ` : ""}${run.error.message}`;
  return "";
}

function row(run) {
  const text = about(run);
  return h("div", { class: "run" }, h("span", { class: "c-status" }, status(run.status)),
    h("span", { class: "c-id" }, runLink(run.run)), h("span", { class: "c-pipeline", title: run.version ? `version ${version(run.version)}` : null }, run.pipeline ?? "?"),
    h("span", { class: "c-time" }, time(run.started_at)),
    h("span", { class: "c-took", "data-from": ENDED.has(run.status) ? null : run.started_at }, between(run.started_at, run.ended_at)),
    h("span", { class: `c-about${run.error ? " bad" : ""}`, title: text }, text));
}

/** Opens the page. */
export function open(root, place) {
  let query = place.query;
  let runs = [];
  let next = null;
  let isLoading = false;
  let generation = 0;
  let isClosed = false;

  const chips = h("div", { class: "chips", role: "group", "aria-label": "Status" });
  const pipeline = h("input", { type: "search", "data-filter": true, placeholder: "pipeline  /", "aria-label": "Pipeline", list: "pipelines", autocomplete: "off",
    spellcheck: "false", onchange: (event) => router.filter({ pipeline: event.target.value.trim() }) });
  const known = h("datalist", { id: "pipelines" });
  const since = h("select", { "aria-label": "Since", onchange: (event) => router.filter({ since: event.target.value }) },
    SINCE.map(([value, label]) => h("option", { value }, label)));
  const list = lists.create({ label: "Runs", height: () => (isNarrow() ? 62 : 34), key: (run) => run.run, render: row,
    stamp: (run) => run, open: (run) => router.go(["runs", run.run]), more: () => more() });
  const below = h("div");
  const columns = h("div", { class: "run columns", "aria-hidden": "true" }, ["status", "run", "pipeline", "began", "took", "waits for, or failed with"]
    .map((text) => h("span", {}, text)));
  root.append(head("Runs", h("div", { class: "filters" }, pipeline, known, since)), chips, columns, list.node, below);

  const filters = () => ({ status: query.status, pipeline: query.pipeline, since: query.since });
  const fits = (run) => (!query.status || run.status === query.status) && (!query.pipeline || run.pipeline === query.pipeline);

  function draw() {
    const isEmpty = runs.length === 0 && !isLoading;
    list.node.hidden = isEmpty;
    columns.hidden = isEmpty;
    replace(below, isEmpty && (query.status || query.pipeline || query.since
      ? nothing("No run fits these filters.", h("a", { href: "#/runs" }, "Show all"))
      : nothing("No run has been started yet.", [h("a", { href: "#/start" }, "Start one"), " (g n), or with ", h("code", {}, "weir run NAME"), "."])));
    list.set(runs);
  }

  async function first() {
    generation += 1;
    const mine = generation;
    isLoading = true;
    try {
      const page = await api.get(["runs"], { ...filters(), limit: PAGE });
      if (mine !== generation || isClosed) return;
      isLoading = false;
      runs = page.items;
      next = page.next;
      draw();
    } catch (error) {
      isLoading = false;
      if (mine === generation) replace(below, problem(error));
    }
  }

  async function more() {
    if (!next || isLoading) return;
    isLoading = true;
    const mine = generation;
    try {
      const page = await api.get(["runs"], { ...filters(), limit: PAGE, cursor: next });
      if (mine !== generation || isClosed) return;
      runs = runs.concat(page.items);
      next = page.next;
    } catch {
      // The next scroll asks again.
    } finally {
      if (mine === generation) isLoading = false;
    }
    list.set(runs);
  }

  // The newest page again: what is new comes on top, what has changed in its place.
  async function freshen() {
    const mine = generation;
    const page = await api.get(["runs"], { ...filters(), limit: PAGE }).catch(() => null);
    if (!page || mine !== generation || isClosed) return;
    const fresh = new Map(page.items.map((run) => [run.run, run]));
    const oldest = page.items.at(-1)?.run;
    const kept = runs.filter((run) => !fresh.has(run.run) && oldest !== undefined && run.run < oldest);
    const old = new Map(runs.map((run) => [run.run, run]));
    runs = page.items.map((run) => {
      const before = old.get(run.run);
      return before && JSON.stringify(before) === JSON.stringify(run) ? before : run;
    }).concat(page.next ? kept : []);
    if (!page.next) next = null;
    draw();
  }

  const freshenSoon = calm(400, freshen);

  // What an event says of a run: of a new one a row at once, of others what has changed. The newest page is read soon after.
  function note({ kind, data }) {
    const at = runs.findIndex((run) => run.run === data.run);
    if (at < 0 && data.status === "running" && !isLoading && !(data.run < runs[0]?.run)) {
      const begun = { run: data.run, pipeline: data.pipeline, status: "running", started_at: new Date(data.at_ms ?? Date.now()).toISOString(), ended_at: null, error: null, waiting: [] };
      if (fits(begun)) runs = [begun, ...runs];
      list.node.hidden = runs.length === 0;
      return;
    }
    if (at < 0) return;
    const run = { ...runs[at] };
    if (kind === "run") Object.assign(run, { status: data.status, error: data.error ?? null, waiting: data.status === "waiting" ? run.waiting : [] });
    if (kind === "run" && ENDED.has(data.status)) run.ended_at = new Date(data.at_ms ?? Date.now()).toISOString();
    runs = fits(run) ? runs.with(at, run) : runs.toSpliced(at, 1);
  }

  async function count() {
    const counts = await api.get(["counts"]).catch(() => null);
    if (!counts || isClosed) return;
    const one = (name, label, amount) => h("button", { type: "button", class: `chip${(query.status ?? "") === name ? " on" : ""}`, "aria-pressed": String((query.status ?? "") === name),
      "data-status": name, onclick: () => router.filter({ status: name }) }, name && h("span", { class: `sign s-${name}`, "aria-hidden": "true" }, SIGNS[name]), ` ${label} `,
      h("b", {}, number(amount)));
    replace(chips, one("", "all", counts.all), STATUSES.filter((name) => counts.runs[name] || name === query.status || ["running", "waiting", "finished", "failed"].includes(name))
      .map((name) => one(name, words(name), counts.runs[name] ?? 0)));
  }

  const countSoon = calm(1100, count);

  function show() {
    pipeline.value = query.pipeline ?? "";
    since.value = query.since ?? "";
    count();
    first();
  }

  const unsubscribe = events.subscribe((event) => {
    if (event.kind === "run") {
      note(event);
      list.set(runs);
    }
    // A run that is not parked yet goes on from its wait without a word of its own.
    const goesOn = event.kind === "step" && runs.slice(0, PAGE).some((run) => run.run === event.data.run && run.status === "waiting");
    if (goesOn || event.kind === "run" || event.kind === "waiting" || event.kind === "gap") {
      freshenSoon();
      countSoon();
    }
  });
  const ticking = setInterval(() => {
    for (const cell of list.node.querySelectorAll(".c-took[data-from]")) cell.textContent = between(cell.dataset.from);
    if (runs.slice(0, PAGE).some((run) => (run.status === "running" || run.status === "waiting") && run.waiting?.some((wait) => isOver(wait)))) freshenSoon();
  }, 1000);
  api.get(["pipelines"]).then(({ items }) => replace(known, items.map((one) => h("option", { value: one.name })))).catch(() => {});
  show();

  const step = (by) => () => {
    const names = ["", ...STATUSES];
    router.filter({ status: names[(names.indexOf(query.status ?? "") + by + names.length) % names.length] });
  };
  return {
    update(now) {
      query = now.query;
      show();
    },
    close() {
      isClosed = true;
      unsubscribe();
      freshenSoon.cancel();
      countSoon.cancel();
      clearInterval(ticking);
      list.close();
    },
    keys: [...lists.keysOf(() => list), { keys: "]", says: "the next status", does: step(1) }, { keys: "[", says: "the status before", does: step(-1) },
      { keys: "0", says: "no filters", does: () => router.go(["runs"]) }, { keys: "n", says: "start a run", does: () => router.go(["start"]) }],
  };
}
