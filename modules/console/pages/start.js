// pages/start.js - starts a run: a pipeline, a form made of the schema of its input, the inputs that were used last in this
// browser, the same as a command for a shell.

import * as api from "../api.js";
import * as dialog from "../dialog.js";
import { h, replace, visible } from "../dom.js";
import * as forms from "../form.js";
import { ago, quoted, version } from "../format.js";
import { button, head, nothing, problem } from "../parts.js";
import * as router from "../router.js";
import { copy } from "../value.js";

const RECENT = 8;
const store = (name) => `weir.inputs.${name}`;

function recent(name) {
  try {
    const list = JSON.parse(localStorage.getItem(store(name)) ?? "[]");
    return Array.isArray(list) ? list : [];
  } catch {
    return [];
  }
}

function remember(name, input) {
  const text = JSON.stringify(input);
  const list = [{ input, at: new Date().toISOString() }, ...recent(name).filter((one) => JSON.stringify(one.input) !== text)].slice(0, RECENT);
  try {
    localStorage.setItem(store(name), JSON.stringify(list));
  } catch {
    // A browser that keeps nothing.
  }
}

const command = (name, input) => `weir run ${quoted(name)}${Object.keys(input ?? {}).length > 0 ? ` --input ${quoted(JSON.stringify(input))}` : ""}`;

// The form of one pipeline: {node, start, copy}.
function starter(pipeline) {
  const { name } = pipeline;
  const form = forms.of(pipeline.input ?? {}, "input");
  const key = h("input", { type: "text", id: "start-key", autocomplete: "off", maxlength: 256 });
  const wrong = h("p", { class: "problem", role: "alert", hidden: true });
  const history = recent(name);
  let pending = null; // the key of an attempt whose answer did not come: the same start, not a second one

  async function start() {
    const read = form.read();
    if (!read) return;
    const body = { pipeline: name, input: read.value ?? {} };
    const text = JSON.stringify(body);
    if (pending?.text !== text) pending = { text, key: key.value.trim() || `console-${crypto.randomUUID()}` };
    wrong.hidden = true;
    try {
      const run = await api.post(["runs"], body, { "Idempotency-Key": pending.key });
      remember(name, body.input);
      router.go(["runs", run.run]);
    } catch (error) {
      if (error.status !== 0) pending = null;
      const left = form.refuse(error.errors ?? []);
      wrong.hidden = false;
      replace(wrong, `✗ ${error.message}`, left.slice(1).map((one) => h("br", {}, one.message)));
    }
  }

  async function copyCommand() {
    const read = form.read();
    if (!read) return;
    await copy(command(name, read.value));
    dialog.toast(`copied: ${command(name, read.value).slice(0, 120)}`, "good");
  }

  const node = h("div", { class: "starter", onkeydown(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      start();
    }
  } }, h("h2", {}, name), pipeline.doc && h("p", {}, visible(pipeline.doc)), h("p", { class: "hint mono" }, `version ${version(pipeline.version)}`),
  history.length > 0 && h("div", { class: "field" }, h("label", { for: "recent" }, "Recent inputs"), h("select", { id: "recent", onchange(event) {
    const one = history[Number(event.target.value)];
    if (one) form.write(one.input);
  } }, h("option", { value: "" }, "–"), history.map((one, at) => h("option", { value: String(at) }, `${ago(one.at)}: ${JSON.stringify(one.input).slice(0, 80)}`)))),
  form.isEmpty ? h("p", { class: "hint" }, "It takes no input.") : form.node,
  h("details", {}, h("summary", {}, "More"), h("div", { class: "field" }, h("label", { for: "start-key" }, "Key"), key,
    h("span", { class: "hint" }, "starting again with the same key gives the same run"))), wrong,
  h("div", { class: "buttons" }, button("▶ Start", "Ctrl-Enter", start, "main"), button("Copy as command", "c", copyCommand)));
  return { node, start, copyCommand, focus: () => node.querySelector(".fields input, .fields textarea, .fields select, button.main")?.focus() };
}

/** Opens the page. */
export function open(root, place) {
  let chosen = place.parts[0] ?? null;
  let pipelines = [];
  let current = null;
  let text = "";

  const filter = h("input", { type: "search", "data-filter": true, placeholder: "filter  /", "aria-label": "Filter", autocomplete: "off", oninput(event) {
    text = event.target.value.trim().toLowerCase();
    drawList();
  } });
  const list = h("ul", { class: "choices", "aria-label": "Pipelines" });
  const box = h("div", { class: "detail" });
  root.append(head("Start a run", h("div", { class: "filters" }, filter)), h("div", { class: "two" }, list, h("div", { class: "detail-box" },
    h("a", { class: "back", href: "#/start" }, "‹ all pipelines"), box)));

  function drawList() {
    const fitting = pipelines.filter((one) => `${one.name} ${one.doc ?? ""}`.toLowerCase().includes(text));
    replace(list, fitting.map((one) => h("li", {}, h("a", { href: router.address(["start", one.name]), "aria-current": one.name === chosen ? "true" : null, class: one.ok ? "" : "bad" },
      h("b", {}, one.ok ? one.name : `✗ ${one.name}`), one.doc && h("span", { class: "hint" }, visible(one.doc))))), fitting.length === 0 && pipelines.length > 0 && nothing("None fits."));
  }

  async function show() {
    root.classList.toggle("has-detail", Boolean(chosen));
    drawList();
    current = null;
    if (!chosen) return replace(box, pipelines.length > 0 && h("p", { class: "hint" }, "Choose a pipeline."));
    const name = chosen;
    try {
      const pipeline = await api.get(["pipelines", name]);
      if (chosen !== name) return undefined;
      if (!pipeline.ok) {
        return replace(box, h("h2", {}, name), h("p", { class: "problem" }, "✗ It cannot be loaded:"), h("ul", {}, pipeline.errors.map((one) => h("li", {},
          `${one.file ?? ""}${one.line ? `:${one.line}` : ""} ${visible(one.message)}`))));
      }
      current = starter(pipeline);
      replace(box, current.node);
      current.focus();
    } catch (error) {
      replace(box, problem(error));
    }
    return undefined;
  }

  api.get(["pipelines"]).then(({ items }) => {
    pipelines = items;
    if (items.length === 0) replace(box, nothing("This project has no pipelines.", h("code", {}, "pipelines/NAME.lua")));
    show();
  }).catch((error) => replace(box, problem(error)));

  const move = (by) => () => {
    const links = [...list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement);
    links[Math.max(0, Math.min(links.length - 1, at + by))]?.focus();
  };
  return {
    update(now) {
      chosen = now.parts[0] ?? null;
      show();
    },
    keys: [{ keys: "j, ArrowDown", says: "next pipeline", does: move(1) }, { keys: "k, ArrowUp", says: "the one before", does: move(-1) },
      { keys: "c", says: "copy as command", does: () => (current ? current.copyCommand() : false) },
      { keys: "i", says: "to the first field", does: () => (current ? current.focus() : false) }],
  };
}
