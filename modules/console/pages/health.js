// pages/health.js - how the host is: whether it takes work, runs, queues, channels, models, the store, and all that it counts.

import * as api from "../api.js";
import { h, replace, visible } from "../dom.js";
import { bytes, number, seconds, words } from "../format.js";
import * as metrics from "../metrics.js";
import { facts, head, problem } from "../parts.js";

const EVERY_MS = 3000;

const show = (name, value) => (/_bytes/.test(name) ? bytes(value) : /_seconds/.test(name) && !/_total$/.test(name) ? seconds(value) : number(value));

function histogram(family) {
  const count = family.samples.filter((one) => one.name.endsWith("_count")).reduce((sum, one) => sum + one.value, 0);
  const bound = (share) => {
    const found = metrics.quantile(family, share);
    return found === null ? "–" : found === Infinity ? "more" : `≤ ${seconds(found)}`;
  };
  return `${number(count)} times; half ${bound(0.5)}, 99 of 100 ${bound(0.99)}`;
}

function rowsOf(family) {
  if (family.kind === "histogram") return [h("tr", {}, h("td", {}, ""), h("td", {}, histogram(family)))];
  return family.samples.slice(0, 50).map((one) => h("tr", {}, h("td", {}, Object.entries(one.labels).map(([name, value]) => `${name} ${visible(value)}`).join(", ")),
    h("td", { class: "amount" }, show(one.name, one.value))));
}

function table(family) {
  if (family.samples.length === 0) return null;
  return h("details", { class: "family" }, h("summary", {}, h("code", {}, family.name), " ", h("span", { class: "hint" }, visible(family.help))), h("table", {}, h("tbody", {}, rowsOf(family))));
}

function card(title, pairs, none) {
  const known = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h("section", { class: "card" }, h("h2", {}, title), known.length > 0 ? facts(known) : h("p", { class: "hint" }, none ?? "nothing is counted"));
}

// One line for each value of a label, such as a queue's name.
function byLabel(families, prefix, label) {
  const found = new Map();
  for (const family of families.values()) {
    if (!family.name.startsWith(prefix) || family.kind === "histogram") continue;
    for (const one of family.samples) {
      const name = one.labels[label] ?? "";
      const what = words(family.name.slice(prefix.length).replace(/_total$/, ""));
      found.set(name, [...(found.get(name) ?? []), `${what} ${show(one.name, one.value)}`]);
    }
  }
  return [...found].map(([name, values]) => [visible(name || "all"), values.join(", ")]);
}

/** Opens the page. */
export function open(root) {
  let isClosed = false;
  let timer = 0;
  const cards = h("div", { class: "cards" });
  const all = h("div", { class: "families" });
  root.append(head("Health"), cards, h("h2", {}, "All that is counted"), all);

  async function ready() {
    try {
      const response = await fetch("/readyz", { cache: "no-store", credentials: "omit" });
      const { status } = await response.json();
      return response.ok ? "✓ takes work" : `✗ ${status}`;
    } catch {
      return "✗ not reached";
    }
  }

  function draw(state, counts, families) {
    const value = (name) => metrics.value(families, name);
    const one = (name) => (value(name) === undefined ? undefined : show(name, value(name)));
    const started = value("weir_start_time_seconds");
    const commits = families.get("weir_checkpoint_seconds");
    const info = families.get("weir_build_info")?.samples[0]?.labels;
    replace(cards, card("Host", [["state", state], ["version", info?.version], ["up for", started && seconds(Date.now() / 1000 - started)], ["memory of Lua", one("weir_memory_bytes")],
      ["tasks", one("weir_tasks")], ["runs at work", one("weir_runs_live")]]),
    card("Runs", Object.entries(counts.runs).map(([name, count]) => [words(name), number(count)]), "none yet"),
    card("People", [["approvals that wait", one("weir_approvals_pending")]]),
    card("Queues", byLabel(families, "weir_queue_", "queue"), "no queue is in use"),
    card("Channels", byLabel(families, "weir_channel_", "channel"), "no channel is counted"),
    card("Models", byLabel(families, "weir_model_", "model"), "no model has been asked"),
    card("Store", [["commits", commits && histogram(commits)], ["written", one("weir_checkpoint_bytes_total")], ["size", one("weir_store_bytes")]]));
    const opened = new Set([...all.querySelectorAll("details[open] code")].map((node) => node.textContent));
    replace(all, [...families.values()].sort((a, b) => a.name.localeCompare(b.name)).map((family) => {
      const node = table(family);
      if (node && opened.has(family.name)) node.open = true;
      return node;
    }));
  }

  async function load() {
    try {
      const [state, counts, text] = await Promise.all([ready(), api.get(["counts"]), api.text("/metrics")]);
      if (!isClosed) draw(state, counts, metrics.parse(text));
    } catch (error) {
      if (!isClosed) replace(cards, problem(error));
    }
    if (!isClosed) timer = setTimeout(load, EVERY_MS);
  }

  load();
  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
    keys: [],
  };
}
