// pages/schedules.js - when runs start by themselves: each schedule with the next ten times.

import * as api from "../api.js";
import * as dialog from "../dialog.js";
import { h, replace, visible } from "../dom.js";
import { ago, moment } from "../format.js";
import { button, facts, head, nothing, problem } from "../parts.js";

const NEXT = 10;

function times(list) {
  return h("ol", { class: "times" }, list.slice(0, NEXT).map((one) => {
    const at = typeof one === "string" ? one : one.at;
    return h("li", {}, moment(at), h("span", { class: "hint" }, ` ${ago(at)}`));
  }));
}

async function card(schedule, again) {
  const preview = schedule.next?.length > 0 ? schedule.next : (await api.getOrNothing(["schedules", schedule.id, "preview"]))?.items ?? [];
  const act = (name, says) => async () => {
    await dialog.attempt(() => api.post(["schedules", schedule.id, name], {}), says);
    again();
  };
  const known = ["cron", "every", "at", "tz", "overlap", "missed", "window"].filter((name) => schedule[name] !== undefined && schedule[name] !== null);
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, visible(schedule.name ?? schedule.id)), schedule.paused && h("span", { class: "status s-waiting" }, "◷ paused")),
    facts([["pipeline", schedule.pipeline], ...known.map((name) => [name, visible(schedule[name])])]), h("h3", {}, "The next times"),
    preview.length > 0 ? times(preview) : h("p", { class: "hint" }, "none"),
    h("div", { class: "buttons" }, schedule.paused ? button("Resume", "", act("resume", "it goes on")) : button("Pause", "", act("pause", "it is paused")),
      button("Start now", "", act("trigger", "a run has begun"))));
}

/** Opens the page. */
export function open(root) {
  const box = h("div", { class: "cards" });
  root.append(head("Schedules"), box);

  async function load() {
    try {
      const page = (await api.has("/api/schedules")) ? await api.get(["schedules"], { limit: 100 }) : null;
      if (!page || page.items.length === 0) {
        return replace(box, nothing("No schedules are set up.", ["A pipeline says when it starts by itself in its ", h("code", {}, "on"), "."]));
      }
      return replace(box, await Promise.all(page.items.map((one) => card(one, load))));
    } catch (error) {
      return replace(box, problem(error));
    }
  }

  load();
  return { keys: [] };
}
