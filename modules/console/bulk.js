// bulk.js - one decision on several questions: those that were chosen, each as it was shown, and no others. What has come since
// is not among them, and what asks something else by now is refused by the host.

import * as api from "./api.js";
import * as dialog from "./dialog.js";
import { h, visible } from "./dom.js";

const DONE = { approve: "approved", reject: "rejected" };
const SHOWN = 100; // titles that are listed

const title = (approval) => visible(approval.title ?? approval.step);

function titles(list, more) {
  return h("ul", { class: "plain chosen" }, list.slice(0, SHOWN).map((one) => h("li", {}, title(one), h("span", { class: "hint" }, ` ${one.pipeline} / ${visible(one.step)}`), more?.(one))),
    list.length > SHOWN && h("li", { class: "hint" }, `and ${list.length - SHOWN} more`));
}

// What could not be decided stays on the screen until it was read.
function tell(decision, chosen, items) {
  const outcomes = new Map(items.map((one) => [one.id, one]));
  const refused = chosen.filter((one) => outcomes.get(one.id)?.error);
  const done = chosen.length - refused.length;
  if (done > 0) dialog.toast(`${done} ${DONE[decision]}`, "good");
  if (refused.length === 0) return;
  dialog.open(`${refused.length} not ${DONE[decision]}`, titles(refused, (one) => h("p", { class: "problem" }, `✗ ${visible(outcomes.get(one.id).error.message)}`)));
}

/** Asks whether to decide all of these; chosen: approvals as they were listed. done(): it was sent. */
export function decide(decision, chosen, done) {
  const asking = decision === "approve" ? chosen.filter((one) => one.form) : [];
  const list = chosen.filter((one) => !asking.includes(one));
  const comment = h("textarea", { id: "bulk-comment", rows: 1, maxlength: 10000 });
  const label = `${decision === "approve" ? "✓ Approve" : "✗ Reject"} ${list.length}`;
  const field = h("div", { class: "field" }, h("label", { for: comment.id }, "Comment"), comment, h("span", { class: "hint" }, "kept with each of them"));
  dialog.open(`${decision === "approve" ? "Approve" : "Reject"} ${chosen.length === 1 ? "one question" : `${chosen.length} questions`}`, [titles(list),
    asking.length > 0 && h("div", { class: "left-out" }, h("p", { class: "hint" }, "These ask for an answer and are decided one by one:"), titles(asking)), list.length > 0 && field],
  list.length === 0 ? [] : [{ label, kind: decision === "approve" ? "main" : "danger", async does() {
    const body = { decision, of: list.map(({ id, hash }) => ({ id, hash })) };
    if (comment.value.trim()) body.comment = comment.value.trim();
    const { items } = await api.post(["approvals"], body);
    done();
    setTimeout(() => tell(decision, list, items));
  } }]);
}
