// pages/approvals.js - what waits for a person: a list, and beside it the question that is chosen, with what is shown, the
// form of an answer, who may decide and until when. A decision carries the hash of what was shown here.

import * as api from "../api.js";
import * as bulk from "../bulk.js";
import * as dialog from "../dialog.js";
import { calm, h, replace, visible } from "../dom.js";
import * as events from "../events.js";
import { ago, moment, words } from "../format.js";
import * as forms from "../form.js";
import * as lists from "../list.js";
import { button, facts, head, nothing, problem, runLink, time } from "../parts.js";
import * as router from "../router.js";
import { copyable } from "../value.js";

const PAGE = 200;
const VERBS = { approve: "approved", reject: "rejected", edit: "edited", timeout: "closed by its deadline", cancelled: "withdrawn" };

const verb = (decision) => VERBS[decision] ?? words(decision);

// Who decided what, of an approval that is decided.
function verdict(approval) {
  const last = approval.given?.at(-1);
  const by = last ? ` by ${visible(last.by)}` : "";
  return `${verb(approval.decision)}${by}, ${moment(approval.decided_at)}${last?.comment ? `: ${visible(last.comment)}` : ""}`;
}

const weight = (approval) => approval.given.reduce((sum, one) => sum + (one.weight ?? 1), 0);

// How often people were reminded, and how far it went up.
function course({ ladder }) {
  if (!ladder) return "";
  return [ladder.reminded > 0 && `reminded ${ladder.reminded}`, ladder.escalated > 0 && `escalated ${ladder.escalated}`].filter(Boolean).join(", ");
}

// pick: the box that chooses it for a decision on several.
function row(approval, isPicked, pick) {
  const box = h("input", { type: "checkbox", checked: isPicked, tabindex: "-1", "aria-label": `choose ${visible(approval.title ?? approval.step)}`, onchange: () => pick(approval) });
  return h("div", { class: `approval${isPicked ? " picked" : ""}` }, h("label", { class: "pick" }, box), h("span", { class: "title" }, visible(approval.title ?? approval.step)),
    h("span", { class: "sub" }, `${approval.pipeline} / ${visible(approval.step)}`, approval.quorum > 1 && ` · ${weight(approval)} of ${approval.quorum}`, course(approval) && ` · ${course(approval)}`),
    h("span", { class: "due" }, approval.due_at ? `◷ ${ago(approval.due_at)}` : ""));
}

function people(approval) {
  const instead = (approval.delegated ?? []).map((one) => `; ${visible(one.to)} in the place of ${visible(one.by)}`).join("");
  const who = (approval.who?.length > 0 ? approval.who.map(visible).join(", ") : "anybody") + instead;
  if (approval.weights) {
    const weights = Object.entries(approval.weights).map(([name, one]) => `${visible(name)} ${one}`).join(", ");
    return `${who}; who approve have to weigh ${approval.quorum} together (${weights}, others 1)`;
  }
  return approval.quorum > 1 ? `${who}; ${approval.quorum} different people have to approve` : who;
}

function given(approval) {
  if (approval.given.length === 0) return null;
  return h("ul", { class: "plain" }, approval.given.map((one) => h("li", {}, `${verb(one.decision)} by ${visible(one.by)}${one.on_behalf_of ? ` in the place of ${visible(one.on_behalf_of)}` : ""}, `, time(one.at), one.comment && `: ${visible(one.comment)}`,
    one.answer !== null && one.answer !== undefined && copyable(one.answer))));
}

// The question ------------------------------------------------------------------------------------------

function question(approval, done) {
  const form = approval.form ? forms.of(approval.form, "answer") : null;
  const edit = approval.form ? null : forms.of({ description: "JSON: what stands in the place of what was shown" }, "edited");
  const editBox = edit && h("div", { class: "edit", hidden: true }, edit.node);
  const comment = h("textarea", { id: "comment", rows: 1, maxlength: 10000 });
  const wrong = h("p", { class: "problem", role: "alert", hidden: true });
  let isBusy = false;

  function fail(error) {
    const left = form && error.errors.length > 0 ? form.refuse(error.errors) : error.errors;
    wrong.hidden = false;
    const winner = error.problem?.approval;
    if (winner) {
      replace(wrong, `✗ Somebody was first: it was ${verdict(winner)}.`);
      dialog.toast(`Somebody was first: it was ${verdict(winner)}.`, "bad");
      done(null);
    } else replace(wrong, `✗ ${error.message}`, left.slice(1).map((one) => h("br", {}, one.message)));
  }

  async function decide(decision) {
    if (isBusy) return;
    const body = { decision, hash: approval.hash };
    if (comment.value.trim()) body.comment = comment.value.trim();
    if (decision === "edit" && editBox?.hidden) {
      editBox.hidden = false;
      edit.write(approval.input ?? approval.show ?? undefined);
      editBox.querySelector("textarea, input").focus();
      return;
    }
    const source = decision === "edit" && edit ? edit : decision === "reject" ? null : form;
    if (source) {
      const read = source.read();
      if (!read) return;
      if (read.value !== undefined) body.answer = read.value;
    }
    isBusy = true;
    wrong.hidden = true;
    try {
      const answer = await api.post(["approvals", approval.id], body);
      dialog.toast(answer.missing ? `${verb(decision)}; ${answer.missing} more have to approve` : `${verb(decision)}: ${visible(approval.title ?? approval.step)}`, "good");
      done(answer);
    } catch (error) {
      fail(error);
    } finally {
      isBusy = false;
    }
  }

  const buttons = h("div", { class: "buttons" }, button("✓ Approve", "a", () => decide("approve"), "main"), button("✗ Reject", "x", () => decide("reject"), "danger"),
    button("✎ Edit", "e", () => decide("edit")));
  // Ctrl-Enter approves from inside a field: the keyboard alone is enough.
  const node = h("div", { class: "question", onkeydown(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      decide(editBox && !editBox.hidden ? "edit" : "approve");
    }
  } }, h("h2", {}, visible(approval.title ?? approval.step)),
  facts([["pipeline", `${approval.pipeline} / ${visible(approval.step)}`], ["run", runLink(approval.run)], ["who may decide", people(approval)],
    ["due", approval.due_at && [time(approval.due_at), ` (${ago(approval.due_at)})`, approval.on_timeout && `, then ${approval.on_timeout}`]],
    ["so far", course(approval)], ["next", approval.ladder?.next_at && time(approval.ladder.next_at)],
    ["hash", h("span", { class: "mono", title: approval.hash }, approval.hash.slice(0, 16))]]),
  approval.kind === "in_doubt" && h("p", { class: "problem" }, "? It is not known whether this step has happened. Approve: do it now."),
  approval.show !== null && h("section", {}, h("h3", {}, "Shown"), copyable(approval.show)),
  approval.input !== undefined && approval.input !== null && h("section", {}, h("h3", {}, "Input of the step"), copyable(approval.input)),
  approval.world !== undefined && approval.world !== null && h("section", {}, h("h3", {}, "Has to be so when it goes on"), copyable(approval.world)),
  approval.given.length > 0 && h("section", {}, h("h3", {}, "Given"), given(approval)),
  approval.decision ? h("p", { class: "decided" }, `Decided: ${verdict(approval)}`)
    : h("section", {}, form && [h("h3", {}, "Answer"), form.node], editBox, h("div", { class: "field" }, h("label", { for: "comment" }, "Comment"), comment), wrong, buttons,
      h("p", { class: "hint" }, "Ctrl-Enter inside a field approves.")));
  return { node, decide, isOpen: !approval.decision, focus: () => node.querySelector("input, textarea, select, button.main")?.focus() };
}

/** Opens the page. */
export function open(root, place) {
  let chosen = place.parts[0] ?? null;
  let items = [];
  let next = null;
  let shown = null; // {id, question}
  let isClosed = false;
  let filter = place.query.pipeline ?? "";

  const picked = new Set(); // ids; what goes leaves it, and nothing comes into it by itself

  const list = lists.create({ label: "Approvals", height: () => 54, key: (one) => one.id, render: (one) => row(one, picked.has(one.id), pick),
    stamp: (one) => `${one.id}|${one.given.length}|${picked.has(one.id)}`,
    open: (one) => router.go(["approvals", one.id], filter ? { pipeline: filter } : {}), more: () => more() });
  const detail = h("div", { class: "detail", tabindex: "-1" });
  const empty = h("div");
  const field = h("input", { type: "search", "data-filter": true, placeholder: "pipeline  /", "aria-label": "Pipeline", value: filter, autocomplete: "off",
    onchange: (event) => router.filter({ pipeline: event.target.value.trim() }) });
  const back = h("a", { class: "back", href: "#/approvals" }, "‹ all approvals");
  const bar = h("div", { class: "picked-bar", role: "toolbar", "aria-label": "Several at once" });
  root.append(head("Approvals", h("div", { class: "filters" }, field)), empty, bar, h("div", { class: "two" }, list.node, h("div", { class: "detail-box" }, back, detail)));

  // Several at once --------------------------------------------------------------------------------------

  const chosenOnes = () => items.filter((one) => picked.has(one.id));

  function drawBar() {
    for (const id of picked) if (!items.some((one) => one.id === id)) picked.delete(id);
    bar.hidden = items.length === 0;
    const count = picked.size;
    const isAll = count > 0 && count === items.length;
    const box = h("input", { type: "checkbox", id: "pick-all", checked: isAll, onchange: pickAll });
    box.indeterminate = count > 0 && !isAll;
    replace(bar, h("label", { class: "pick", for: "pick-all" }, box, ` ${count === 0 ? "choose all that are listed" : `${count} of ${items.length} chosen`}`),
      count > 0 && [button(`✓ Approve ${count}`, "A", () => decideAll("approve")), button(`✗ Reject ${count}`, "X", () => decideAll("reject"), "danger")]);
  }

  function pick(one) {
    if (!picked.delete(one.id)) picked.add(one.id);
    drawBar();
    list.refresh();
  }

  function pickAll() {
    const isAll = picked.size === items.length;
    picked.clear();
    if (!isAll) for (const one of items) picked.add(one.id);
    drawBar();
    list.refresh();
  }

  // The hashes are those of what is listed here.
  function decideAll(decision) {
    if (picked.size === 0) return false;
    bulk.decide(decision, chosenOnes(), () => {
      picked.clear();
      load();
    });
    return true;
  }

  function arrange() {
    const isEmpty = items.length === 0;
    root.classList.toggle("has-detail", Boolean(chosen));
    root.classList.toggle("is-empty", isEmpty && !chosen);
    replace(empty, isEmpty && !chosen && nothing(filter ? "Nothing of this pipeline waits for a decision." : "Nothing waits for a decision."));
    list.node.hidden = isEmpty;
    drawBar();
    list.set(items);
    if (!chosen) show();
  }

  async function show() {
    if (!chosen) {
      shown = null;
      return replace(detail, items.length > 0 && h("p", { class: "hint" }, "Choose one: j and k move, Enter opens."));
    }
    const id = chosen;
    try {
      const approval = await api.get(["approvals", id]);
      if (isClosed || chosen !== id) return undefined;
      const stamp = JSON.stringify([approval.hash, approval.given, approval.decision]);
      if (shown?.id === id && shown.stamp === stamp) return undefined;
      if (shown?.id === id && approval.decision && shown.question.isOpen && !shown.isMine) dialog.toast(`It was ${verdict(approval)}.`);
      shown = { id, stamp, question: question(approval, decided) };
      replace(detail, shown.question.node);
    } catch (error) {
      if (chosen === id) replace(detail, problem(error));
    }
    return undefined;
  }

  async function decided(answer) {
    if (shown) shown.isMine = true;
    await load();
    if (answer?.missing) return show();
    const following = items.find((one) => one.id !== chosen);
    if (answer && following) return router.go(["approvals", following.id]);
    return show();
  }

  async function load() {
    try {
      const page = await api.get(["approvals"], { limit: PAGE, pipeline: filter });
      if (isClosed) return;
      items = page.items;
      next = page.next;
      arrange();
    } catch (error) {
      replace(empty, problem(error));
    }
  }

  let isLoading = false;
  async function more() {
    if (!next || isLoading) return;
    isLoading = true;
    const page = await api.get(["approvals"], { limit: PAGE, pipeline: filter, cursor: next }).catch(() => null);
    isLoading = false;
    if (!page || isClosed) return;
    const there = new Set(items.map((one) => one.id));
    items = items.concat(page.items.filter((one) => !there.has(one.id)));
    next = page.next;
    drawBar();
    list.set(items);
  }

  const soon = calm(300, () => {
    load();
    show();
  });
  const unsubscribe = events.subscribe(({ kind }) => {
    if (kind === "run" || kind === "waiting" || kind === "gap") soon();
  });
  load().then(() => {
    if (chosen) list.select(items.findIndex((one) => one.id === chosen));
  });
  show();

  const decide = (decision) => () => (shown ? shown.question.decide(decision) : false);
  return {
    update(now) {
      const before = filter;
      chosen = now.parts[0] ?? null;
      filter = now.query.pipeline ?? "";
      field.value = filter;
      if (before !== filter) load();
      arrange();
      show().then(() => {
        if (shown && document.activeElement === list.node) detail.focus();
      });
    },
    close() {
      isClosed = true;
      unsubscribe();
      soon.cancel();
      list.close();
    },
    keys: [...lists.keysOf(() => list), { keys: "a", says: "approve", does: decide("approve") }, { keys: "x", says: "reject", does: decide("reject") },
      { keys: "Space", says: "choose it for a decision on several", does(event) {
        if (list.at() < 0 || event.target.closest("a, button, input, summary")) return false;
        return pick(list.items()[list.at()]);
      } },
      { keys: "*", says: "choose all that are listed, or none", does: pickAll },
      { keys: "A", says: "approve all that are chosen", does: () => decideAll("approve") }, { keys: "X", says: "reject all that are chosen", does: () => decideAll("reject") },
      { keys: "e", says: "edit", does: decide("edit") }, { keys: "i", says: "to the first field", does: () => (shown ? shown.question.focus() : false) },
      { keys: "Escape", says: "back to the list", does: () => (chosen ? router.go(["approvals"]) : false) }],
  };
}
