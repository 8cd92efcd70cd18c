// migrate.js - binds runs to another version of their pipeline. What a run has recorded is compared with what that version asks
// before anything is changed; where the two part it stays as it is, and the first such step is named.

import * as api from "./api.js";
import * as dialog from "./dialog.js";
import { h, replace, visible } from "./dom.js";
import { moment, version } from "./format.js";
import { runLink } from "./parts.js";

const OPEN = ["waiting", "in_doubt", "running", "queued", "quarantined"];
const PAGE = 100;
const MOST = 500; // runs at once; afterwards it can be done again
const SIDE_BY_SIDE = 4;

// Versions to choose from; `latest` is the one that serves.
async function choice(pipeline) {
  const kept = await api.getOrNothing(["modules", "pipeline", pipeline, "versions"]);
  const select = h("select", { id: "migrate-to" }, h("option", { value: "latest" }, "latest: the one that serves"),
    (kept?.items ?? []).map((each) => h("option", { value: each.version }, `${version(each.version)}${each.active ? " (active)" : ""}${each.loaded_at ? ` ${moment(each.loaded_at)}` : ""}`)));
  return { select, node: h("div", { class: "field" }, h("label", { for: select.id }, "to version"), select) };
}

const send = (run, body) => api.post(["runs", run, "migrate"], body);

function why(error) {
  const parting = error.problem?.divergence;
  return [visible(error.message), parting && h("span", { class: "hint" }, ` first difference: ${visible(parting.key)}${parting.record ? `, entry ${parting.record} of the journal` : ""}`)];
}

const same = (plan) => plan.from === plan.to;

function told(plan) {
  if (same(plan)) return h("p", { class: "hint" }, `• It is bound to ${version(plan.to)} already.`);
  return h("p", {}, "✓ It can be done: ", h("span", { class: "mono" }, `${version(plan.from)} → ${version(plan.to)}`), ". All that it has recorded is asked for in the same way.");
}

/** Asks where to, shows whether it can be done, and does it. run: {run, pipeline}. */
export async function run({ run: id, pipeline }, done) {
  const { select, node: field } = await choice(pipeline).catch((error) => dialog.toast(error.message, "bad") ?? {});
  if (!select) return;
  const seen = h("div", { class: "outline", "aria-live": "polite" });
  const { node } = dialog.open("Migrate the run", [field, seen], [{ label: "Migrate", kind: "main", async does() {
    const plan = await send(id, { to: select.value });
    dialog.toast(`${id}: bound to ${version(plan.to)}`, "good");
    done();
  } }]);
  const main = node.querySelector("button.main");
  let turn = 0;
  async function look() {
    turn += 1;
    const mine = turn;
    main.disabled = true;
    replace(seen, h("p", { class: "hint" }, "comparing …"));
    try {
      const plan = await send(id, { to: select.value, dry_run: true });
      if (mine !== turn) return;
      main.disabled = same(plan);
      replace(seen, told(plan));
    } catch (error) {
      if (mine === turn) replace(seen, h("p", { class: "problem" }, "✗ ", why(error)));
    }
  }
  select.addEventListener("change", look);
  await look();
}

async function unfinished(pipeline) {
  const found = [];
  for (const status of OPEN) {
    let cursor;
    do {
      const page = await api.get(["runs"], { pipeline, status, limit: PAGE, cursor });
      found.push(...page.items);
      cursor = page.next;
    } while (cursor && found.length < MOST);
  }
  return [...new Map(found.map((one) => [one.run, one])).values()].slice(0, MOST);
}

// Does it for each, a few at once; `each` hears what came of one.
async function all(ids, body, each) {
  const left = [...ids];
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, async () => {
    for (let id = left.shift(); id; id = left.shift()) {
      try {
        each(id, await send(id, body), null);
      } catch (error) {
        each(id, null, error);
      }
    }
  }));
}

/** The same for all unfinished runs of a pipeline: what can be done with each stands there before anything is changed. */
export async function pipeline(name, done) {
  const [{ select, node: field }, runs] = await Promise.all([choice(name), unfinished(name)]).catch((error) => dialog.toast(error.message, "bad") ?? [{}]);
  if (!select) return;
  const rows = new Map(runs.map((one) => [one.run, h("li", {})]));
  const sum = h("p", { class: "hint", role: "status" });
  let able = [];
  const say = (id, ...text) => replace(rows.get(id), runLink(id), " ", text);
  const { node } = dialog.open(`Migrate runs of ${name}`, runs.length === 0 ? h("p", {}, "No run of this pipeline is unfinished.") : [field, sum, h("ul", { class: "plain chosen" }, [...rows.values()])],
    runs.length === 0 ? [] : [{ label: "Migrate", kind: "main", async does() {
      let count = 0;
      await all(able, { to: select.value }, (id, plan, error) => {
        count += plan ? 1 : 0;
        say(id, plan ? `✓ bound to ${version(plan.to)}` : h("span", { class: "problem" }, "✗ ", why(error)));
      });
      const isWhole = count === able.length;
      dialog.toast(`${count} of ${able.length} runs bound to another version`, isWhole ? "good" : "bad");
      able = [];
      done();
      return isWhole;
    } }]);
  if (runs.length === 0) return;
  const main = node.querySelector("button.main");
  let turn = 0;
  async function look() {
    turn += 1;
    const mine = turn;
    const to = select.value;
    able = [];
    main.disabled = true;
    sum.textContent = "comparing …";
    for (const id of rows.keys()) say(id, "…");
    let already = 0;
    await all(rows.keys(), { to, dry_run: true }, (id, plan, error) => {
      if (mine !== turn) return;
      if (plan && same(plan)) already += 1;
      else if (plan) able.push(id);
      say(id, error ? h("span", { class: "problem" }, "✗ ", why(error)) : same(plan) ? h("span", { class: "hint" }, `• is bound to ${version(plan.to)} already`)
        : ["✓ can be moved: ", h("span", { class: "mono" }, `${version(plan.from)} → ${version(plan.to)}`)]);
    });
    if (mine !== turn) return;
    sum.textContent = `${able.length} of ${runs.length} can be moved${already > 0 ? `, ${already} already there` : ""}; nothing has been changed yet.`;
    main.textContent = `Migrate ${able.length}`;
    main.disabled = able.length === 0;
  }
  select.addEventListener("change", look);
  await look();
}
