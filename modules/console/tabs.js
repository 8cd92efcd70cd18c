// tabs.js - the views of a run that are text: StepData, the journal, what its steps say as they say it.

import * as api from "./api.js";
import { h, replace, visible } from "./dom.js";
import { moment } from "./format.js";
import * as lists from "./list.js";
import { nothing, problem } from "./parts.js";
import { copyable } from "./value.js";

/** StepData now, or right after a step. */
export function data(id) {
  let at = "";
  let asked = 0;

  async function fill(box, run) {
    asked += 1;
    const mine = asked;
    if (!at) return replace(box, h("h3", {}, "Input"), copyable(run.input), h("h3", {}, "StepData"), copyable(run.data), run.output !== null && [h("h3", {}, "Output"), copyable(run.output)]);
    try {
      const found = await api.get(["runs", id, "data"], { at });
      if (mine === asked) replace(box, h("p", { class: "hint" }, `after ${visible(at)}; ${found.later.length} steps came later`), copyable(found.data));
    } catch (error) {
      if (mine === asked) replace(box, problem(error));
    }
    return undefined;
  }

  let shown = "";
  return {
    show(root, run) {
      const stamp = JSON.stringify([run.data, run.output, run.steps.length]);
      if (root.firstElementChild?.classList.contains("data-view") && stamp === shown) return;
      shown = stamp;
      const box = h("div", { class: "data" });
      const ended = run.steps.filter((step) => step.status === "finished" || step.status === "failed").slice(0, 2000);
      const choice = h("select", { id: "data-at", onchange(event) {
        at = event.target.value;
        fill(box, run);
      } }, h("option", { value: "" }, "now"), ended.map((step) => h("option", { value: step.key }, `after ${step.key}`)));
      choice.value = at;
      replace(root, h("div", { class: "data-view" }, h("div", { class: "filters" }, h("label", { for: "data-at" }, "As it was"), choice), box));
      fill(box, run);
    },
  };
}

const ABOUT = {
  run: (entry) => [entry[1].pipeline, entry[1].at],
  start: (entry) => [entry[1], entry[4], `attempt ${entry[3] ?? 1}`],
  attempt: (entry) => [entry[1], entry[4], `attempt ${entry[2]} failed: ${entry[5]?.message ?? ""}`],
  draft: (entry) => [entry[1], null, "refused by its critic"],
  step: (entry) => [entry[1], entry[5], `${entry[3]}${entry[3] === "finished" ? "" : `: ${entry[7]?.message ?? ""}`}`],
  end: (entry) => [entry[1], entry[3]],
};

function entryRow(item, isOpen) {
  const [kind] = item.entry;
  const [key, at, text] = ABOUT[kind]?.(item.entry) ?? [typeof item.entry[1] === "string" ? item.entry[1] : "", null, ""];
  return h("div", { class: `entry${isOpen ? " on" : ""}` }, h("span", { class: "n" }, item.n), h("span", { class: "kind" }, kind), h("span", { class: "key", title: key }, visible(key ?? "")),
    h("span", { class: "when" }, typeof at === "number" ? moment(new Date(at).toISOString()).slice(11) : ""), h("span", { class: "text" }, visible(text ?? "")));
}

/** The journal, read in pages as somebody scrolls. */
export function journal(id) {
  let items = [];
  let next = "0";
  let isLoading = false;
  let chosen = null;
  const detail = h("div", { class: "entry-detail", hidden: true });
  const list = lists.create({ label: "Journal", height: () => 26, key: (item) => item.n, render: (item) => entryRow(item, item === chosen),
    stamp: (item) => item === chosen, open(item) {
      chosen = item;
      detail.hidden = false;
      replace(detail, h("h3", {}, `Entry ${item.n}`), copyable(item.entry));
      list.refresh();
    }, more: () => more() });
  const node = h("div", { class: "journal" }, list.node, detail);

  async function more() {
    if (next === null || isLoading) return;
    isLoading = true;
    try {
      const page = await api.get(["runs", id, "journal"], { after: next, limit: 500 });
      items = items.concat(page.items);
      next = page.next ?? null;
      list.set(items);
    } catch (error) {
      next = null;
      replace(detail, problem(error));
      detail.hidden = false;
    } finally {
      isLoading = false;
    }
  }

  return {
    show(root) {
      if (!node.isConnected) replace(root, node);
      next ??= items.length > 0 ? String(items.at(-1).n) : "0"; // what has been written since
      more();
    },
    move(by) {
      list.node.focus();
      list.move(by);
    },
    close: () => list.close(),
  };
}

const LONGEST = 200000; // characters of one step's stream that stay on the page

/** What steps stream, with what the open streams gave out before; what they print and log from the moment on in which the
 * page was opened. */
export function stream() {
  const boxes = new Map();
  const empty = nothing("Nothing has been said since this page was opened.", "What a step streams is shown here as it comes; what came before is in its output.");
  const node = h("div", { class: "stream" }, empty);

  function box(key) {
    if (!boxes.has(key)) {
      const text = h("pre", { class: "spoken", tabindex: "0", "aria-label": `stream of ${key}` });
      boxes.set(key, { text, length: 0, isText: false, items: [] });
      node.append(h("section", {}, h("h3", {}, visible(key)), text));
      empty.hidden = true;
    }
    return boxes.get(key);
  }

  function add(key, text, kind) {
    const one = box(key);
    const atEnd = one.text.scrollHeight - one.text.scrollTop - one.text.clientHeight < 20;
    if (kind) {
      one.text.append(h("span", { class: kind }, `${one.isText ? "\n" : ""}${text}\n`));
      one.isText = false;
    } else {
      one.text.append(text);
      one.isText = !text.endsWith("\n");
    }
    one.length += text.length;
    while (one.length > LONGEST && one.text.firstChild) {
      one.length -= one.text.firstChild.textContent.length;
      one.text.firstChild.remove();
    }
    if (atEnd) one.text.scrollTop = one.text.scrollHeight;
  }

  // Items of a stream stand in text nodes of their own, so that they can be taken back.
  function say(key, item) {
    add(key, typeof item === "string" ? visible(item) : `${visible(JSON.stringify(item))}\n`);
    const one = box(key);
    one.items.push(one.text.lastChild);
  }

  function takeBack(key, valid) {
    const one = box(key);
    for (const node of one.items.splice(valid)) {
      if (!node?.parentNode) continue;
      one.length -= node.textContent.length;
      node.remove();
    }
  }

  return {
    hear({ kind, data }) {
      if (kind === "item") say(data.step, data.item);
      else if (kind === "items") {
        takeBack(data.step, data.from - 1);
        for (const item of data.items) say(data.step, item);
      } else if (kind === "rewind") takeBack(data.step, data.items);
      else if (kind === "print") add(data.step ?? "run", visible(data.text), "printed");
      else if (kind === "log") add(data.step ?? "run", `${{ error: "✗", warn: "⚠" }[data.level] ?? "·"} ${visible(data.text)}`, `log ${data.level}`);
    },
    show(root) {
      if (!node.isConnected) replace(root, node);
    },
  };
}

