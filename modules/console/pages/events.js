// pages/events.js - what came in from outside and what runs have emitted: where it comes from, the log, and what could not become
// what it should have; pause a source, give an event once more.

import * as api from "../api.js";
import * as beside from "../beside.js";
import * as dialog from "../dialog.js";
import { calm, h, replace, visible } from "../dom.js";
import { button, facts, runLink, time } from "../parts.js";
import * as router from "../router.js";
import * as values from "../value.js";

const LIMIT = 200;
const EVERY = 2000; // milliseconds; what comes in is told by no event of its own

const data = (event) => (event.data === undefined ? (event.data_base64 ? "(bytes)" : "") : JSON.stringify(event.data));

function row({ at, event }) {
  return h("div", { class: "thing" }, time(at), h("span", { class: "name" }, visible(event.type)), h("span", { class: "dim" }, visible(event.source)),
    h("span", { class: "dim" }, visible(data(event).slice(0, 200))));
}

const act = (segments, says, again) => () => dialog.attempt(async () => {
  await api.post(segments, {});
  again();
}, says);

function source(one, again) {
  const [pipeline, name] = one.id.split("/");
  const isPaused = one.status === "paused";
  const taken = (one.counts.queued ?? 0) + (one.counts.joined ?? 0);
  return h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", {}, visible(one.id)),
    h("span", { class: `status ${one.trouble ? "s-failed" : isPaused ? "s-waiting" : "s-running"}` }, `${one.trouble ? "✗" : isPaused ? "◷" : "▶"} ${one.status}`)),
  facts([["watcher", one.watcher], ["taken", taken], ["wait", one.depth], ["at work", one.active], ["dead", one.dead || null]]),
  one.trouble && h("p", { class: "problem" }, visible(one.trouble)),
  h("div", { class: "buttons" }, isPaused ? button("Resume", "", act(["sources", pipeline, name, "resume"], "it goes on", again))
    : button("Pause", "", act(["sources", pipeline, name, "pause"], "it is paused", again))));
}

function letter(one, again) {
  return h("details", { class: "letter" }, h("summary", {}, `⚠ ${visible(one.pipeline)} ${visible(one.event?.type ?? "")}: ${visible(one.error?.message ?? "")}`),
    one.event && values.copyable(one.event), h("div", { class: "buttons" },
      button("Give it once more", "", act(["events", "dead", one.id, "replay"], "it waits for its turn", again), "main"),
      button("Throw it away", "", act(["events", "dead", one.id, "discard"], "it is gone", again), "danger")));
}

function entry(offset, items, again) {
  const one = items.find((each) => each.offset === offset);
  if (!one) return h("p", { class: "hint" }, "It is not among those that are shown; it may be older.");
  const { event } = one;
  return [h("h2", {}, visible(event.type)), facts([["offset", h("span", { class: "mono" }, offset)], ["at", time(one.at)], ["from", one.from.startsWith("r_") ? runLink(one.from) : visible(one.from)],
    ["source", visible(event.source)], ["id", visible(event.id)], ["subject", event.subject && visible(event.subject)]]),
  h("div", { class: "buttons" }, button("Give it once more", "e", act(["events", "log", offset, "replay"], "it has come once more", again), "main")),
  h("h3", {}, "The event"), values.copyable(event)];
}

/** Opens the page. */
export function open(root, place) {
  const cards = h("div", { class: "cards", hidden: true });
  const dead = h("div", { hidden: true });
  let type = place.query.type ?? ""; // as the address says: what is shown is what somebody would see to whom it is sent
  const typed = calm(300, () => router.filter({ type: filter.value.trim() }));
  const filter = h("input", { type: "search", "data-filter": true, placeholder: "type, or order.*  /", "aria-label": "Type", value: type, autocomplete: "off", oninput: typed });

  async function around() {
    const again = () => { around(); page.again(); };
    const [sources, letters] = await Promise.all([api.getOrNothing(["sources"]).catch(() => null), api.get(["events", "dead"])]);
    cards.hidden = !sources || sources.items.length === 0;
    replace(cards, (sources?.items ?? []).map((one) => source(one, again)));
    dead.hidden = letters.items.length === 0;
    if (!dead.querySelector("details[open]")) replace(dead, h("h3", {}, "Could not become what they should have"), letters.items.map((one) => letter(one, again)));
  }

  async function load(cursor) {
    if (!cursor) await around();
    return api.get(["events", "log"], { newest: true, limit: LIMIT, type, before: cursor });
  }

  const page = beside.open(root, place, { page: "events", title: "Events", tools: filter, above: h("div", {}, cards, dead), key: (one) => one.offset, render: row,
    show: entry, load, every: EVERY, empty: "No event has come yet.", hint: ["Such as ", h("code", {}, "weir event send order.paid '{\"id\": 7}'"), ", a webhook, or a watcher of a pipeline."],
    keys: (chosen, again) => [{ keys: "e", says: "give the event once more", does: () => (chosen() ? void act(["events", "log", chosen(), "replay"], "it has come once more", again)() : false) }] });
  return { ...page, update(now) {
    page.update(now);
    if (type === (now.query.type ?? "")) return;
    type = now.query.type ?? "";
    if (document.activeElement !== filter) filter.value = type;
    page.again();
  }, close() {
    typed.cancel();
    page.close();
  } };
}
