// panel.js - all about one step of a run: what it was given, what came of it, its attempts and drafts, what it cost.

import * as actions from "./actions.js";
import * as api from "./api.js";
import { h, replace, visible } from "./dom.js";
import { ENDED, between, number, seconds, version } from "./format.js";
import { button, facts, problem, status, time } from "./parts.js";
import { copyable } from "./value.js";

const section = (title, ...content) => h("section", {}, h("h3", {}, title), content);

const failure = (error) => h("p", { class: "problem" }, h("b", {}, `✗ ${error.code ?? "failed"} `), visible(error.message ?? ""));

function usage(used) {
  if (!used) return null;
  const parts = [];
  if (used.input_tokens !== undefined) parts.push(`${number(used.input_tokens)} in, ${number(used.output_tokens ?? 0)} out`);
  if (used.tokens !== undefined) parts.push(`${number(used.tokens)} tokens`);
  if (used.usd !== undefined) parts.push(`${used.usd.toFixed(4)} USD`);
  return parts.join(", ");
}

function attempts(step) {
  if (step.attempts.length === 0) return null;
  return section("Attempts that failed", h("ol", { class: "attempts" }, step.attempts.map((one) => h("li", { value: one.attempt },
    h("span", { class: "hint" }, `${between(one.started_at, one.ended_at)}${one.delay > 0 ? `, then ${seconds(one.delay)} of waiting` : ""}`), one.error && failure(one.error)))));
}

function drafts(step) {
  if (step.drafts.length === 0) return null;
  return section("Drafts that were refused", step.drafts.map((draft, at) => h("details", {}, h("summary", {}, `draft ${at + 1}`), copyable(draft))));
}

function tools(run, step, close) {
  const has = ENDED.has(step.status) || step.status === "skipped";
  return h("div", { class: "panel-tools" }, ENDED.has(run.status) && button("Retry from here", "r", () => actions.retry(run.run, step.key)),
    has && button("Fork here", "f", () => actions.fork(run.run, step.key)), button("Close", "Esc", close, "quiet"));
}

function content(run, step, close) {
  return [h("div", { class: "panel-head" }, h("h2", {}, visible(step.key)), status(step.status)), tools(run, step, close),
    facts([["done by", step.agent], ["version", step.version && h("span", { class: "mono", title: step.version }, version(step.version))], ["model", step.model],
      ["began", step.started_at && time(step.started_at)], ["ended", step.ended_at && time(step.ended_at)], ["took", step.started_at && between(step.started_at, step.ended_at)],
      ["attempt", step.attempt], ["visit", step.visit > 1 && step.visit], ["branch", step.label], ["used", usage(step.usage)],
      ["kept from", step.kept && h("a", { href: `#/runs/${step.kept}` }, step.kept)]].filter(([, value]) => value)),
    step.error && section("Error", failure(step.error)),
    step.why && section("Why this model", h("p", {}, visible(step.why.reason ?? "")), copyable(step.why)),
    step.timing && section("How the answer came", copyable(step.timing)),
    step.messages && section("What was asked and answered", step.messages.map((one) => h("details", {}, h("summary", {}, visible(one.role)), copyable(one)))),
    step.verdict && section("Verdict of the critic", copyable(step.verdict)),
    step.decision && section("Which branch counted", copyable(step.decision)),
    step.items && section("Items", copyable(step.items)),
    section("Input", step.input === null ? h("p", { class: "hint" }, "not known: a journal keeps its fingerprint, and it could not be made again") : copyable(step.input)),
    section("Output", step.status === "finished" ? copyable(step.output) : h("p", { class: "hint" }, "none")),
    attempts(step), drafts(step),
    step.stopped?.length > 0 && section("Stopped with it", h("ul", { class: "plain" }, step.stopped.map((one) => h("li", {}, visible(JSON.stringify(one))))))];
}

/** Gives {node, show(run, key), close, key}. onClose() is called when somebody closes it. */
export function create(onClose) {
  const node = h("aside", { class: "panel", "aria-label": "Step", tabindex: "-1", hidden: true });
  let shown = null;
  let seen = "";

  async function show(run, key) {
    const isNew = shown !== key;
    shown = key;
    node.hidden = false;
    if (isNew) replace(node, h("p", { class: "hint" }, "…"));
    try {
      const step = await api.get(["runs", run.run, "steps", key]);
      if (shown !== key) return;
      const text = JSON.stringify([run.status, step]);
      if (!isNew && text === seen) return;
      seen = text;
      replace(node, content(run, step, onClose));
    } catch (error) {
      if (shown === key) replace(node, h("div", { class: "panel-head" }, h("h2", {}, visible(key))), button("Close", "Esc", onClose, "quiet"), problem(error));
    }
  }

  function close() {
    shown = null;
    node.hidden = true;
  }

  return { node, show, close, key: () => shown };
}
