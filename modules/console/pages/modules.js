// pages/modules.js - the agents, critics and other modules, and pipelines: their versions, who holds them, what differs between
// two of them, what could not be loaded; load again, take back.

import * as api from "../api.js";
import * as dialog from "../dialog.js";
import * as diffs from "../diff.js";
import { calm, h, replace, visible } from "../dom.js";
import * as events from "../events.js";
import { moment, version } from "../format.js";
import * as lists from "../list.js";
import * as migration from "../migrate.js";
import { button, facts, head, nothing, problem, time } from "../parts.js";
import * as router from "../router.js";

const fullOf = (one) => `${one.kind}/${one.name}`;

function row(one) {
  return h("div", { class: "module" }, h("span", { class: "kind" }, one.kind), h("span", { class: "name" }, one.name), h("span", { class: "mono version" }, version(one.version)),
    h("span", { class: "holds" }, typeof one.runs === "number" && one.runs > 0 ? `${one.runs} runs` : ""), h("span", { class: "when" }, time(one.loaded_at)),
    h("span", { class: `state${one.error ? " bad" : ""}`, title: one.error ?? one.file ?? "" }, one.error ? `✗ ${visible(one.error)}` : visible(one.file ?? "")));
}

function failureOf(error) {
  return h("div", { class: "problem" }, h("p", {}, `✗ ${visible(error.message ?? error)}`), error.excerpt && h("pre", {}, visible(error.excerpt)));
}

/** Opens the page. */
export function open(root, place) {
  let chosen = place.parts.length >= 2 ? `${place.parts[0]}/${place.parts[1]}` : null;
  let items = [];
  let text = "";
  let isClosed = false;
  const failures = new Map(); // by name, as they came since the page was opened

  const filter = h("input", { type: "search", "data-filter": true, placeholder: "filter  /", "aria-label": "Filter", autocomplete: "off", oninput(event) {
    text = event.target.value.trim().toLowerCase();
    arrange();
  } });
  const list = lists.create({ label: "Modules", height: () => (matchMedia("(max-width: 640px)").matches ? 48 : 32), key: (one) => `${fullOf(one)}@${one.version}`, render: row,
    stamp: (one) => JSON.stringify(one), open: (one) => router.go(["modules", one.kind, one.name]) });
  const detail = h("div", { class: "detail", tabindex: "-1" });
  const told = h("div", { "aria-live": "polite" });
  root.classList.add("beside");
  root.append(head("Modules", h("div", { class: "filters" }, filter)), told, h("div", { class: "two" }, list.node, h("div", { class: "detail-box" },
    h("a", { class: "back", href: "#/modules" }, "‹ all modules"), detail)));

  function arrange() {
    root.classList.toggle("has-detail", Boolean(chosen));
    list.set(items.filter((one) => one.active !== false || one.error).filter((one) => fullOf(one).includes(text)));
  }

  function drawFailures() {
    replace(told, [...failures].map(([name, error]) => h("details", { class: "reload-failed" }, h("summary", {}, `✗ ${name} could not be loaded; the version before it keeps serving`), failureOf(error))));
  }

  const act = (one, name) => async () => {
    try {
      const answer = await api.post(["modules", one.kind, one.name, name], {});
      failures.delete(fullOf(one));
      if (name === "rollback") dialog.toast(`${fullOf(one)}: version ${version(answer.to)} serves again, until its file changes`, "good");
      else if (answer.reloaded.length === 0) dialog.toast(`${fullOf(one)} has not changed`);
      else dialog.toast(`${answer.reloaded.map((each) => each.name).join(", ")}: loaded again`, "good");
    } catch (error) {
      dialog.toast(error.message, "bad");
      if (name === "reload" && error.problem) failures.set(fullOf(one), { message: error.message, excerpt: error.problem.excerpt });
    }
    drawFailures();
    load();
  };

  // Two versions beside each other, where the host keeps what they said.
  function comparison(one, versions) {
    const sources = versions.filter((each) => typeof each.source === "string");
    if (sources.length === 0) return null;
    const option = (each, at) => h("option", { value: String(at) }, `${version(each.version)} ${each.active ? "(active)" : each.loaded_at ? moment(each.loaded_at) : ""}`);
    const before = h("select", { id: "diff-before" }, sources.map(option));
    const after = h("select", { id: "diff-after" }, sources.map(option));
    before.value = String(Math.min(1, sources.length - 1));
    const box = h("div");
    const draw = () => replace(box, sources.length > 1 ? diffs.view(sources[Number(before.value)].source, sources[Number(after.value)].source)
      : h("pre", { class: "source", tabindex: "0" }, visible(sources[0].source)));
    before.addEventListener("change", draw);
    after.addEventListener("change", draw);
    draw();
    return h("section", {}, h("h3", {}, sources.length > 1 ? "What differs" : "Source"), sources.length > 1 && h("div", { class: "filters" }, h("label", { for: "diff-before" }, "from"), before,
      h("label", { for: "diff-after" }, "to"), after), box);
  }

  async function show() {
    if (!chosen) return replace(detail);
    const full = chosen;
    const [kind, name] = full.split("/");
    try {
      const one = await api.get(["modules", kind, name]);
      const history = (await api.has("/api/modules/{kind}/{name}/versions")) ? await api.get(["modules", kind, name, "versions"]) : null;
      if (isClosed || chosen !== full) return undefined;
      const versions = history?.items ?? one.versions ?? [];
      return replace(detail, h("h2", {}, full), facts([["version", h("span", { class: "mono" }, version(one.version))], ["file", visible(one.file ?? "")], ["loaded", time(one.loaded_at)],
        ["held by", typeof one.runs === "number" ? `${one.runs} runs` : null], ["says", one.doc && visible(one.doc)]]), one.error && failureOf(one.error),
      h("div", { class: "buttons" }, button("Reload", "l", act(one, "reload"), "main"), button("Roll back", "b", act(one, "rollback")),
        kind === "pipeline" && button("Migrate runs", "m", () => migration.pipeline(name, load))),
      versions.length > 0 && h("section", {}, h("h3", {}, "Versions"), h("ul", { class: "plain" }, versions.map((each) => h("li", {}, h("span", { class: "mono" }, version(each.version)), each.active && " ✓ active",
        each.loaded_at && [" · ", time(each.loaded_at)], typeof each.runs === "number" && each.runs > 0 && ` · held by ${each.runs} runs`)))), comparison(one, versions));
    } catch (error) {
      return replace(detail, problem(error));
    }
  }

  async function load() {
    try {
      const [found, pipelines] = await Promise.all([api.get(["modules"]), api.get(["pipelines"])]);
      if (isClosed) return;
      items = [...pipelines.items.map((one) => ({ kind: "pipeline", name: one.name, version: one.version, file: one.file, active: true,
        error: one.ok ? null : one.errors[0]?.message })), ...found.items];
      arrange();
      if (items.length === 0) replace(detail, nothing("This project has no modules."));
      show();
    } catch (error) {
      replace(detail, problem(error));
    }
  }

  const soon = calm(300, load);
  const unsubscribe = events.subscribe(({ kind, data }) => {
    if (kind === "reload_failed") failures.set(data.name, data);
    if (kind === "reload") failures.delete(data.name);
    if (kind === "reload" || kind === "reload_failed") {
      drawFailures();
      soon();
    }
  });
  load();

  const press = (name) => () => {
    const one = items.find((each) => fullOf(each) === chosen);
    return one ? void act(one, name)() : false;
  };
  return {
    update(now) {
      chosen = now.parts.length >= 2 ? `${now.parts[0]}/${now.parts[1]}` : null;
      arrange();
      show();
    },
    close() {
      isClosed = true;
      unsubscribe();
      soon.cancel();
      list.close();
    },
    keys: [...lists.keysOf(() => list), { keys: "l", says: "load again", does: press("reload") }, { keys: "b", says: "take back", does: press("rollback") },
      { keys: "m", says: "migrate the runs of a pipeline", does: () => (chosen?.startsWith("pipeline/") ? void migration.pipeline(chosen.slice(9), load) : false) },
      { keys: "Escape", says: "back to the list", does: () => (chosen ? router.go(["modules"]) : false) }],
  };
}
