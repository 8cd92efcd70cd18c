// pages/schedules.js - when runs start by themselves: each schedule with what it did, what it will do, and what a person may
// do about it.

import * as api from "../api.js";
import * as dialog from "../dialog.js";
import { calm, h, replace, visible } from "../dom.js";
import * as events from "../events.js";
import { ago, moment, seconds, words } from "../format.js";
import { button, facts, head, nothing, problem, runLink, status } from "../parts.js";

const NEXT = 10;
const LATEST = 10;
const SIGNS = { start: "▶", wait: "◷", skip: "↷", drop: "⊘" };
const SAID = ["overlap", "missed", "window", "gap", "repeat", "jitter", "start", "end", "limit"];

const text = (value) => visible(typeof value === "string" ? value : JSON.stringify(value));

// A time in the zone of the schedule, and how far away it is.
const when = (local, at) => [local.slice(0, 19).replace("T", " "), h("span", { class: "hint" }, ` ${local.slice(19)} · ${ago(at)}`)];

function upcoming(item) {
  const more = item.ends_early ? "the next one ends it" : item.why ?? (item.outcome === "wait" && item.starts_at ? `starts ${moment(item.starts_at)}` : "");
  return h("li", { title: item.outcome }, h("span", { "aria-hidden": "true" }, `${SIGNS[item.outcome] ?? ""} `), when(item.local, item.nominal),
    item.outcome !== "start" && ` ${item.outcome}`, more && h("span", { class: "hint" }, ` ${visible(more)}`));
}

function past(row) {
  const many = row.interval ? `${row.interval.count} times` : null;
  return h("li", {}, when(row.local, row.nominal), ` ${words(row.outcome)}`, row.status && [" ", status(row.status)], row.run && [" ", runLink(row.run, "run")],
    (many || row.why) && h("span", { class: "hint" }, ` ${visible([many, row.why].filter(Boolean).join(": "))}`));
}

function standing(schedule) {
  if (schedule.paused) return h("span", { class: "status s-waiting", title: visible(schedule.paused.why ?? "") }, "◷ paused");
  if (schedule.over) return h("span", { class: "status", title: visible(schedule.over) }, "■ over");
  if (schedule.active.length > 0) return h("span", { class: "status s-running" }, `▶ ${schedule.active.length} going`);
  return null;
}

const counted = (totals) => Object.entries(totals).sort().map(([name, count]) => `${words(name)} ${count}`).join(", ");

function backfill(schedule, act) {
  const field = (name) => h("input", { name, required: true, placeholder: "2026-11-01T00:00:00Z", "aria-label": name });
  const from = field("from");
  const to = field("to");
  dialog.open(`Make up for a past stretch: ${visible(schedule.name)}`, [h("p", { class: "hint" }, "A run for each time that has started none, one after the other."),
    h("div", { class: "field" }, h("label", {}, "From ", from)), h("div", { class: "field" }, h("label", {}, "to ", to))],
  [{ label: "Start them", kind: "main", does: async () => {
    const answer = await act("backfill", { from: from.value.trim(), to: to.value.trim() });
    dialog.toast(`${answer.times.length} times are to start`, "good");
  } }]);
}

function buttons(schedule, again) {
  const act = async (name, body) => {
    const answer = await api.post(["schedules", schedule.id, name], body ?? {});
    again();
    return answer;
  };
  const attempt = (name, says) => () => dialog.attempt(() => act(name), says);
  return h("div", { class: "buttons" }, schedule.paused ? button("Resume", "", attempt("resume", "it goes on")) : button("Pause", "", attempt("pause", "it is paused")),
    button("Start now", "", attempt("trigger", "a run is to start")), button("Make up for …", "", () => backfill(schedule, act)));
}

function card(schedule, preview, history, again) {
  const said = SAID.filter((name) => schedule.options[name] !== undefined).map((name) => [name, text(schedule.options[name])]);
  const took = preview.seconds === null ? "no run has finished yet" : `if a run takes ${seconds(preview.seconds)}`;
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, visible(schedule.name)), standing(schedule)),
    facts([["pipeline", schedule.pipeline], ["when", visible(schedule.says)], ["zone", schedule.tz], ...said,
      ["waits for its turn", schedule.waiting || null], ["so far", counted(schedule.totals)]]),
    h("h3", {}, "The next times ", h("span", { class: "hint" }, took)),
    preview.items.length > 0 ? h("ol", { class: "times" }, preview.items.map(upcoming)) : h("p", { class: "hint" }, visible(schedule.over ?? "none")),
    h("h3", {}, "The latest"), history.items.length > 0 ? h("ul", { class: "times plain" }, history.items.map(past)) : h("p", { class: "hint" }, "nothing yet"),
    buttons(schedule, again));
}

/** Opens the page. */
export function open(root) {
  const box = h("div", { class: "cards" });
  root.append(head("Schedules"), box);
  let isClosed = false;

  async function whole(schedule) {
    const [preview, history] = await Promise.all([api.get(["schedules", schedule.id, "preview"], { count: NEXT }),
      api.get(["schedules", schedule.id, "history"], { limit: LATEST })]);
    return card(schedule, preview, history, load);
  }

  async function load() {
    try {
      const page = await api.get(["schedules"]);
      const cards = await Promise.all(page.items.map(whole));
      if (isClosed) return undefined;
      if (cards.length > 0) return replace(box, cards);
      return replace(box, nothing("No schedules are set up.", ["A pipeline says when it starts by itself in its ", h("code", {}, "on"), "."]));
    } catch (error) {
      return isClosed ? undefined : replace(box, problem(error));
    }
  }

  const soon = calm(500, load);
  const unsubscribe = events.subscribe(({ kind }) => {
    if (kind === "schedule" || kind === "reload" || kind === "gap") soon();
  });
  load();
  return {
    close() {
      isClosed = true;
      unsubscribe();
      soon.cancel();
    },
    keys: [],
  };
}
