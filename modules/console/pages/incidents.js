// pages/incidents.js - what went wrong, what supervisors did about it and why, and what came of that; what people do about the
// rest: close one, have what failed tried again, take a remedy back.

import * as api from "../api.js";
import * as beside from "../beside.js";
import * as dialog from "../dialog.js";
import { h, visible } from "../dom.js";
import { moment, version } from "../format.js";
import { button, facts, runLink, status, time } from "../parts.js";
import * as router from "../router.js";
import * as values from "../value.js";

const LIMIT = 200;

const where = (one) => visible([one.pipeline, one.step].filter(Boolean).join("/") || one.agent || one.kind);
const link = (id) => h("a", { href: router.address(["incidents", id]), class: "mono" }, id);

// Which remedy it got, and what came of that.
function done({ remedy, outcome }) {
  if (!remedy) return "";
  return [remedy.name, remedy.reverted_at ? "taken back" : outcome].filter(Boolean).map(visible).join(", ");
}

function row(one) {
  return h("div", { class: "thing five" }, status(one.state), h("span", { class: "name" }, where(one)),
    h("span", { class: "dim", title: visible(one.message) }, visible(one.code), " ", h("span", { class: "mono" }, one.fingerprint)), h("span", { class: "dim" }, done(one)), h("span", { class: "dim when" }, time(one.at)));
}

// Doing ------------------------------------------------------------------------------------------------

async function post(path, body, again, says) {
  const answer = await api.post(["incidents", ...path], body);
  dialog.toast(says(answer), "good");
  again();
}

function close(one, again) {
  const all = h("input", { type: "checkbox", id: "incident-class" });
  const note = h("textarea", { rows: 3, maxlength: 10000, id: "incident-note" });
  dialog.open("Close the incident", [h("p", {}, "Nobody has to look at it any more."), h("div", { class: "field" }, h("label", { for: note.id }, "What is known about it"), note),
    h("div", { class: "field check" }, all, h("label", { for: all.id }, `and all others with the fingerprint ${one.fingerprint}`))],
  [{ label: "Close the incident", kind: "main", does: () => {
    const body = { note: note.value.trim() || undefined };
    return all.checked ? post(["close"], { ...body, class: one.fingerprint }, again, ({ items }) => `${items.length} closed`) : post([one.id, "close"], body, again, () => "it is closed");
  } }]);
}

function replay(id, again) {
  const latest = h("input", { type: "checkbox", id: "incident-latest" });
  dialog.open("Try it again", [h("p", {}, "A new run keeps what the old one had finished before the step, and the incident is closed."),
    h("div", { class: "field check" }, latest, h("label", { for: latest.id }, "with the definition and modules as the files have them now"))],
  [{ label: "Start it", kind: "main", does: () => post([id, "replay"], { latest: latest.checked }, again, (line) => `it is tried again as ${line.run}`) }]);
}

const revert = (id, again) => dialog.attempt(() => post([id, "revert"], {}, again, () => "the remedy is taken back"));

// Showing ----------------------------------------------------------------------------------------------

const when = (at, by) => at && [moment(at), by && ` by ${visible(by)}`];

function decision(one) {
  if (!one.remedy) return h("p", { class: "hint" }, one.reason ? visible(one.reason) : "No supervisor had anything to do about it.");
  const holds = one.holds && (one.holds.until ? `until ${moment(one.holds.until)}, for other runs too` : "for other runs too, until it is taken back");
  return [facts([["remedy", visible(one.remedy.name)], ["decided by", one.by && visible(one.by)], ["why", one.reason && visible(one.reason)], ["holds", holds],
    ["outcome", one.outcome && [visible(one.outcome), one.ended_at && `, ${moment(one.ended_at)}`]], ["taken back", when(one.remedy.reverted_at, one.remedy.reverted_by)]]),
  Object.keys(one.remedy.args).length > 0 && values.copyable(one.remedy.args)];
}

const other = (one) => h("li", {}, link(one.id), ` ${where(one)} `, status(one.state), " ", done(one), one.reason && h("span", { class: "hint" }, ` ${visible(one.reason)}`));

async function show(id, items, again) {
  const one = await api.get(["incidents", id]);
  const others = one.run ? (await api.get(["incidents"], { run: one.run, limit: LIMIT })).items.filter((each) => each.id !== id) : [];
  const buttons = [one.state !== "closed" && button("Close", "c", () => close(one, again)), one.run && !one.replayed_as && button("Try again", "y", () => replay(id, again)),
    one.holds && button("Take the remedy back", "b", () => revert(id, again), "main")].filter(Boolean);
  return [h("h2", {}, where(one)), h("p", { class: "problem" }, `✗ ${visible(one.message)} (${visible(one.code)})`),
    buttons.length > 0 && h("div", { class: "buttons" }, buttons),
    facts([["state", status(one.state)], ["at", time(one.at)], ["run", one.run && runLink(one.run)], ["attempt", one.attempt], ["agent", one.agent && [visible(one.agent), " ", h("span", { class: "mono" }, version(one.agent_version))]],
      ["fingerprint", [h("span", { class: "mono" }, one.fingerprint), `, family `, h("span", { class: "mono" }, one.family), `, ${one.seen} in a week`]], ["caused by", one.caused_by && link(one.caused_by)],
      ["closed", when(one.closed_at, one.closed_by)], ["note", one.note && visible(one.note)], ["tried again", one.replayed_as && runLink(one.replayed_as)]]),
    h("h3", {}, "What was decided"), decision(one),
    one.set_aside && [h("h3", {}, "Set aside"), values.copyable(one.set_aside.input)],
    others.length > 0 && [h("h3", {}, "Others of the run"), h("ul", { class: "plain" }, others.map(other))]];
}

/** Opens the page. */
export function open(root, place) {
  let { query } = place;
  const filters = ({ open: isOpen, run }) => ({ open: isOpen === "true" || undefined, run });
  const chip = h("button", { type: "button", class: "chip", title: "those that somebody has to look at", onclick: () => router.filter({ open: query.open === "true" ? "" : "true" }) }, "open only");
  const mark = () => {
    chip.classList.toggle("on", query.open === "true");
    chip.setAttribute("aria-pressed", query.open === "true");
  };
  mark();
  const page = beside.open(root, place, { page: "incidents", title: "Incidents", tools: chip, key: (one) => one.id, render: row, show,
    load: (cursor) => api.get(["incidents"], { ...filters(query), limit: LIMIT, cursor }),
    get empty() { return query.open || query.run ? "No incident fits." : "No incident is known."; }, hint: ["A step that fails is one where its pipeline, or the project, has ", h("code", {}, "supervise"), "."],
    keys: () => [beside.presses("c", "close it"), beside.presses("y", "try it again"), beside.presses("b", "take its remedy back")] });
  return { ...page, update(now) {
    const isSame = JSON.stringify(filters(query)) === JSON.stringify(filters(now.query));
    query = now.query;
    mark();
    page.update(now);
    if (!isSame) page.again();
  } };
}
