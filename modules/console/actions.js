// actions.js - what is done to a run: cancel, pause, resume, signal, retry, fork. What changes a run is asked about first;
// a retry or a fork says what it would keep and do again before it does it.

import * as api from "./api.js";
import * as dialog from "./dialog.js";
import { calm, h, replace } from "./dom.js";
import { SIGNS } from "./format.js";
import * as forms from "./form.js";
import * as router from "./router.js";

const field = (label, input, hint) => {
  input.id ||= `action-${label.replace(/\W+/g, "-")}`;
  return h("div", { class: "field" }, h("label", { for: input.id }, label), input, hint && h("span", { class: "hint" }, hint));
};

function ask(run, name, title, text, kind) {
  const reason = h("input", { type: "text", autocomplete: "off" });
  dialog.open(title, [h("p", {}, text), field("Reason", reason, "kept with the run")], [{ label: title, kind, async does() {
    await api.post(["runs", run, name], reason.value.trim() ? { reason: reason.value.trim() } : {});
    dialog.toast(`${run}: ${name} is done`, "good");
  } }]);
}

export const cancel = (run) => ask(run, "cancel", "Cancel the run", "What is under way is stopped, and what has been done is undone where the pipeline says how.", "danger");
export const pause = (run) => ask(run, "pause", "Pause the run", "It stops where it stands, and goes on when it is resumed.", "main");
export const resume = (run) => dialog.attempt(() => api.post(["runs", run, "resume"], {}), `${run} goes on`);

/** waiting: of the run, so that the names it waits for can be chosen. */
export function signal(run, waiting) {
  const names = (waiting ?? []).filter((wait) => wait.name).map((wait) => wait.name);
  const name = h("input", { type: "text", autocomplete: "off", list: "signal-names", value: names[0] ?? "" });
  const value = forms.of({ description: "JSON, or nothing" }, "value", false);
  dialog.open("Send a signal", [field("name", name), h("datalist", { id: "signal-names" }, names.map((one) => h("option", { value: one }))), value.node],
    [{ label: "Send", kind: "main", async does() {
      const read = value.read();
      if (!read) return false;
      const body = { name: name.value.trim() };
      if (read.value !== undefined) body.value = read.value;
      await api.post(["runs", run, "signal"], body);
      dialog.toast(`${run}: the signal '${body.name}' was sent`, "good");
      return true;
    } }]);
}

function outline(plan) {
  const one = (list, title) => list.length > 0 && h("details", { open: list.length <= 12 }, h("summary", {}, `${title} (${list.length})`),
    h("ul", { class: "plain" }, list.slice(0, 200).map((step) => h("li", {}, `${SIGNS[step.status] ?? "•"} ${step.key}`, step.edited ? " (changed)" : "",
      step.times > 1 ? ` ×${step.times}` : ""))));
  return [one(plan.kept, "Keeps"), one(plan.repeated, "Does again")];
}

// `set` is lines a.b=VALUE, VALUE as JSON or else text.
function readSet(text) {
  const set = {};
  for (const line of text.split("\n").filter((one) => one.trim())) {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`'${line}': a.b=VALUE expected`);
    const value = line.slice(at + 1);
    try {
      set[line.slice(0, at).trim()] = JSON.parse(value);
    } catch {
      set[line.slice(0, at).trim()] = value;
    }
  }
  return Object.keys(set).length > 0 ? set : undefined;
}

function make(run, name, title, base, hint, extra = []) {
  const values = h("textarea", { rows: 2, class: "code", spellcheck: "false", placeholder: "a.b=VALUE" });
  const seen = h("div", { class: "outline", "aria-live": "polite" });
  const body = () => ({ ...base(), set: readSet(values.value) });
  const { node, fail } = dialog.open(title, [extra, field("Changed values", values, hint), seen], [{ label: title, kind: "main", async does() {
    const line = await api.post(["runs", run, name], body());
    dialog.toast(`${line.run} has begun`, "good");
    router.go(["runs", line.run]);
  } }]);
  const look = async () => {
    try {
      const plan = await api.post(["runs", run, name], { ...body(), dry_run: true });
      if (node.isConnected) replace(seen, outline(plan));
    } catch (error) {
      replace(seen);
      if (node.isConnected) fail(error);
    }
  };
  const soon = calm(500, look);
  node.addEventListener("input", soon);
  look();
}

/** Does again what did not get done; from: the key of a step, or nothing. */
export function retry(run, from) {
  const latest = h("input", { type: "checkbox", id: "retry-latest" });
  make(run, "retry", from ? `Retry from ${from}` : "Retry the run", () => ({ from, latest: latest.checked || undefined }),
    "of the input, one a line, such as words=200", h("div", { class: "field check" }, latest, h("label", { for: "retry-latest" }, "with the definition and modules as the files have them now")));
}

/** A new run that begins with what was done up to a step. */
export function fork(run, at) {
  make(run, "fork", `Fork at ${at}`, () => ({ at }), "of StepData, one a line, such as draft.text=A better draft");
}
