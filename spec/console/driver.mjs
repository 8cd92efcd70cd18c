// driver.mjs - looks at the console as a person with a keyboard does: a headless browser against a host that lives.
//     node driver.mjs ADDRESS PROJECT PICTURES
// ADDRESS is what `weir dev` prints, with the token; PROJECT is the project's folder, whose files are edited; PICTURES
// takes screenshots. One line of JSON for each check: {"name", "ok", "error"}. Waiting is always for what is to come.

import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gzipSync } from "node:zlib";

const [address, project, pictures] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(process.env.WEIR_PLAYWRIGHT);
const [origin, token] = address.split("/#token=");
const PATIENCE = 60000;

// Whoever asks beside the page: to prepare what it looks at.
async function ask(method, path, body, type = "application/json") {
  const headers = { authorization: `Bearer ${token}` };
  if (body !== undefined) headers["content-type"] = type;
  const response = await fetch(origin + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return response.json();
}

async function until(what, look) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not come`);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
}

function must(holds, message) {
  if (!holds) throw new Error(message);
}

const start = (pipeline, input) => ask("POST", "/api/runs", { pipeline, input });
const statusOf = async (run) => (await ask("GET", `/api/runs/${run}`)).status;

// The browser ----------------------------------------------------------------------------------------------

const browser = await chromium.launch({ executablePath: process.env.WEIR_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const strangers = []; // requests that left the host
const complaints = []; // what the browser's console says is wrong
let isExpected = false; // an answer that is refused on purpose

async function newPage(options) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light", ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("request", (request) => {
    if (!request.url().startsWith(`${origin}/`) && !request.url().startsWith("data:")) strangers.push(request.url());
  });
  page.on("console", (message) => {
    if (message.type() === "error" && !isExpected) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error.stack ?? error)));
  return page;
}

const go = (page, hash) => page.evaluate((to) => { location.hash = to; }, hash);
const press = async (page, ...keys) => { for (const key of keys) await page.keyboard.press(key); };
const picture = (page, name) => page.screenshot({ path: `${pictures}/${name}.png` });

async function check(name, body) {
  let error = null;
  try {
    await body();
  } catch (raised) {
    error = String(raised.message ?? raised).slice(0, 600);
    await picture(page, `failed-${name.replace(/\W+/g, "-").slice(0, 60)}`).catch(() => {});
  }
  isExpected = false;
  process.stdout.write(`${JSON.stringify({ name, ok: error === null, error })}\n`);
}

const page = await newPage();

// The token ------------------------------------------------------------------------------------------------

await check("takes the token out of the address and keeps it for the tab", async () => {
  await page.goto(address);
  await page.waitForSelector("h1");
  await page.waitForFunction(() => !location.href.includes("token"));
  must((await page.evaluate(() => sessionStorage.getItem("weir.token"))) === token, "the token is not kept");
  must((await page.evaluate(() => localStorage.getItem("weir.token"))) === null, "the token is kept beyond the tab");
  await page.reload();
  await page.waitForSelector("#live.is-live");
});

await check("says where a token comes from when there is none", async () => {
  isExpected = true;
  const other = await newPage();
  await other.goto(`${origin}/`);
  await other.waitForSelector("dialog[open]");
  must((await other.textContent("dialog")).includes("weir dev"), "it does not say where the token comes from");
  await other.fill("dialog input", token);
  await other.keyboard.press("Enter");
  await other.waitForSelector("#live.is-live");
  await other.close();
});

// Runs -----------------------------------------------------------------------------------------------------

let tale;
await check("lists runs as they come, with counts by status, and says what a waiting run waits for", async () => {
  await go(page, "/runs");
  await page.waitForSelector(".nothing");
  tale = (await start("tale", { topic: "the sea" })).run;
  await page.waitForSelector(`.row a[href="#/runs/${tale}"]`);
  await start("failing", {});
  await page.waitForSelector(".row .s-failed");
  await page.waitForFunction(() => document.querySelector("[data-status=failed] b")?.textContent === "1");
  await page.waitForFunction(() => [...document.querySelectorAll(".row .c-about")].some((cell) => /release waits for a decision.*, since .*, until/.test(cell.textContent)));
  await picture(page, "runs-light");
});

await check("keeps filters in the address", async () => {
  await page.click(".chip[data-status=failed]");
  await page.waitForFunction(() => location.hash.includes("status=failed"));
  await page.waitForFunction(() => document.querySelectorAll(".list .row").length === 1);
  await page.reload();
  await page.waitForSelector(".chip.on[data-status=failed]");
  await page.waitForFunction(() => document.querySelectorAll(".list .row").length === 1);
  await press(page, "0");
  await page.waitForFunction(() => document.querySelectorAll(".list .row").length === 2);
});

await check("lists its keys, goes to pages and moves in lists by the keyboard", async () => {
  await press(page, "?");
  await page.waitForSelector("dialog[open] .keys");
  await press(page, "Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  for (const [key, name] of [["a", "approvals"], ["n", "start"], ["s", "schedules"], ["e", "events"], ["i", "incidents"], ["c", "candidates"], ["o", "goals"], ["k", "skills"], ["m", "modules"], ["h", "health"], ["r", "runs"]]) {
    await press(page, "g", key);
    await page.waitForSelector(`.page-${name}`);
  }
  await page.waitForSelector(".list .row");
  await press(page, "/");
  must(await page.evaluate(() => document.activeElement.matches("[data-filter]")), "the filter has no focus");
  await press(page, "Escape", "j", "j");
  await page.waitForSelector(".row.selected");
  must((await page.getAttribute(".list", "aria-activedescendant")) !== null, "what is selected is not told");
  await press(page, "Enter");
  await page.waitForSelector(".page-run");
});

// Starting -------------------------------------------------------------------------------------------------

let spoken;
await check("starts a run by its form, and remembers the input", async () => {
  await go(page, "/start/speaking");
  await page.waitForSelector(".starter");
  await page.fill(".starter .fields input", "many");
  await page.click(".starter button.main");
  await page.waitForFunction(() => document.querySelector(".starter .problem:not([hidden]), .starter [aria-invalid]"));
  must(await page.evaluate(() => location.hash.startsWith("#/start/")), "it was started with a wrong number");
  await page.fill(".starter .fields input", "60");
  await press(page, "Control+Enter");
  await page.waitForSelector(".page-run");
  spoken = await page.evaluate(() => location.hash.split("/")[2]);
  must((await ask("GET", `/api/runs/${spoken}`)).input.words === 60, "the input is another one");
});

await check("shows what a step streams as it comes, and the steps over time while they run", async () => {
  await page.waitForSelector(".step .bar.s-running");
  await press(page, "5");
  await page.waitForFunction(() => (document.querySelector(".spoken")?.textContent.match(/word/g) ?? []).length > 3);
  await press(page, "2");
  await page.waitForSelector(".graph .box.s-running");
  await press(page, "1");
  await page.waitForSelector(".step .bar.s-running");
  writeFileSync(`${project}/enough`, "");
  await page.waitForSelector(".run-head .s-finished");
  await page.waitForSelector(".step .mark");
});

await check("copies a start as a command", async () => {
  await go(page, "/start/speaking");
  await page.waitForSelector("#recent");
  await page.selectOption("#recent", "0");
  must((await page.inputValue(".starter .fields input")) === "60", "the recent input is not there");
  await page.click("text=Copy as command");
  await page.waitForSelector(".toast.good");
  must((await page.evaluate(() => navigator.clipboard.readText())) === "weir run speaking --input '{\"words\":60}'", "another command was copied");
});

// One run --------------------------------------------------------------------------------------------------

await check("shows all about a step: input, output, attempts", async () => {
  await go(page, `/runs/${spoken}`);
  await page.waitForSelector(".step");
  await press(page, "j", "j", "Enter");
  await page.waitForFunction(() => document.querySelector(".panel h2")?.textContent === "speak");
  await page.waitForFunction(() => document.querySelector(".panel")?.textContent.includes("the tide went out"));
  must((await page.textContent(".panel")).includes("word60"), "the output is not shown");
  await picture(page, "step");
  await press(page, "Escape");
  await page.waitForSelector(".panel", { state: "hidden" });
});

await check("shows StepData as it was and the journal", async () => {
  await press(page, "3");
  await page.selectOption("#data-at", "before");
  await page.waitForFunction(() => document.querySelector(".data")?.textContent.includes("1 steps came later"));
  await press(page, "4");
  await page.waitForFunction(() => document.querySelectorAll(".entry").length >= 4);
  await press(page, "j", "Enter");
  await page.waitForSelector(".entry-detail:not([hidden])");
});

await check("draws groups, branches, and the items of a map as one", async () => {
  const { run } = await start("many", { items: Array.from({ length: 500 }, (_, at) => `item ${at}`) });
  await until("the end of the map", async () => (await statusOf(run)) === "finished");
  await go(page, `/runs/${run}?tab=graph`);
  await page.waitForSelector(".graph .box");
  await page.waitForFunction(() => document.querySelector(".graph").textContent.includes("500 inside: ✓500"));
  await page.waitForFunction(() => [...document.querySelectorAll(".edge-label")].some((label) => label.textContent.includes("again")));
  await picture(page, "graph");
  await press(page, "1");
  await page.waitForSelector(".step .many");
  must((await page.locator(".step").count()) < 10, "the items stand in the page one by one");
  await press(page, "j", "o");
  await page.waitForFunction(() => document.querySelectorAll(".step").length > 10);
  must((await page.locator(".step").count()) < 120, "rows that nobody sees are in the page");
});

await check("retries from a step, with a look at what it keeps", async () => {
  rmSync(`${project}/enough`);
  await go(page, `/runs/${spoken}?step=speak`);
  await page.waitForFunction(() => document.querySelector(".panel h2")?.textContent === "speak");
  await page.waitForSelector(".panel-tools");
  await press(page, "r");
  await page.waitForFunction(() => document.querySelector("dialog .outline")?.textContent.includes("Keeps (1)"));
  await press(page, "Enter");
  await page.waitForFunction((old) => location.hash.startsWith("#/runs/r_") && !location.hash.includes(old), spoken);
  const run = await page.evaluate(() => location.hash.split("/")[2].split("?")[0]);
  await page.waitForSelector(".run-head");
  must((await ask("GET", `/api/runs/${run}`)).of.run === spoken, "the new run began with another one");
});

await check("pauses, resumes and cancels a run", async () => {
  const run = await page.evaluate(() => location.hash.split("/")[2].split("?")[0]);
  await page.waitForSelector(".run-head .s-running");
  await press(page, "p");
  await page.waitForSelector("dialog[open]");
  await press(page, "Enter");
  await until("the pause", async () => (await statusOf(run)) !== "running");
  await page.waitForSelector(".run-tools >> text=Resume");
  await press(page, "u");
  await page.waitForSelector(".run-head .s-running");
  await press(page, "x");
  await page.waitForSelector("dialog[open]");
  await page.keyboard.type("enough");
  await press(page, "Enter");
  await page.waitForSelector(".run-head .s-cancelled");
  must((await statusOf(run)) === "cancelled", "it was not cancelled");
});

// Approvals ------------------------------------------------------------------------------------------------

await check("decides an approval with the keyboard alone", async () => {
  await press(page, "g", "a");
  await page.waitForSelector(".approval");
  await press(page, "j", "Enter");
  await page.waitForSelector(".question .fields");
  await picture(page, "approval");
  await press(page, "a");
  await page.waitForSelector(".question [aria-invalid]");
  await page.keyboard.type("The sea");
  await press(page, "Control+Enter");
  await page.waitForSelector(".toast.good");
  await until("the end of the run", async () => (await statusOf(tale)) === "finished");
  const { output } = await ask("GET", `/api/runs/${tale}`);
  must(output.startsWith("The sea"), `the answer is another one: ${output}`);
});

await check("tells who came too late who was first", async () => {
  const { run } = await start("tale", { topic: "late" });
  const approval = await until("the question", async () => (await ask("GET", `/api/approvals?run=${run}`)).items[0]);
  await go(page, `/approvals/${approval.id}`);
  await page.waitForFunction(() => document.querySelector(".question")?.textContent.includes("A tale about late"));
  await page.evaluate(() => { // the page is told of nothing until it has decided
    const send = window.fetch;
    window.fetch = (to, options) => (options?.method === "POST" || !String(to).includes("/api/approvals/") ? send(to, options) : new Promise(() => {}));
  });
  await ask("POST", `/api/approvals/${approval.id}`, { decision: "reject", comment: "not today", hash: approval.hash });
  isExpected = true;
  await page.fill(".question .fields textarea", "Mine");
  await press(page, "Control+Enter");
  await page.waitForFunction(() => /Somebody was first: it was rejected by .*not today/.test(document.body.textContent));
});

await check("decides several at once, and none that came later", async () => {
  await page.reload(); // with its own fetch again
  const runs = [];
  for (const what of ["a letter", "a parcel", "a card"]) runs.push((await start("asking", { what })).run);
  await go(page, "/approvals?pipeline=asking");
  await page.waitForFunction(() => document.querySelectorAll(".approval").length === 3);
  await picture(page, "approvals");
  // by the keyboard: one, then all
  await page.focus(".list");
  await press(page, "j", "Space");
  await page.waitForFunction(() => document.querySelectorAll(".approval.picked").length === 1);
  await press(page, "*");
  await page.waitForFunction(() => document.querySelectorAll(".approval.picked").length === 3);
  const late = (await start("asking", { what: "a late one" })).run; // comes while three are chosen
  await page.waitForFunction(() => document.querySelectorAll(".approval").length === 4);
  await page.waitForFunction(() => document.querySelector(".picked-bar").textContent.includes("3 of 4 chosen"));
  await page.click(`.approval:has-text("a card") input`); // one of them is left out again
  await press(page, "A");
  await page.waitForSelector("dialog[open] .chosen");
  const listed = await page.textContent("dialog[open] .chosen");
  must(listed.includes("a letter") && listed.includes("a parcel") && !listed.includes("a card") && !listed.includes("a late one"), `these are listed: ${listed}`);
  await page.fill("#bulk-comment", "both");
  await picture(page, "bulk");
  await page.click("dialog[open] button.main");
  await page.waitForSelector(".toast.good");
  for (const run of runs.slice(0, 2)) {
    await until("the end of the run", async () => (await statusOf(run)) === "finished");
    must((await ask("GET", `/api/runs/${run}`)).output === "approve", "it was decided otherwise");
  }
  const left = (await ask("GET", "/api/approvals?pipeline=asking")).items.map((one) => one.run).sort();
  must(JSON.stringify(left) === JSON.stringify([runs[2], late].sort()), "another one was decided");
  // what was decided elsewhere meanwhile is told, and the others are decided
  await page.waitForFunction(() => document.querySelectorAll(".approval").length === 2);
  await press(page, "*");
  await page.click(".picked-bar .danger");
  await page.waitForSelector("dialog[open] .chosen");
  const first = (await ask("GET", `/api/approvals?run=${late}`)).items[0];
  await ask("POST", `/api/approvals/${first.id}`, { decision: "approve", hash: first.hash });
  await page.click("dialog[open] button.danger");
  await page.waitForFunction(() => /1 not rejected/.test(document.querySelector("dialog[open] h2")?.textContent ?? ""));
  must((await page.textContent("dialog[open] .problem")).includes("is decided"), "it does not say why");
  await press(page, "Escape");
  await until("the end of the run", async () => (await statusOf(runs[2])) === "failed");
  must((await ask("GET", `/api/runs/${runs[2]}`)).error.code === "rejected", "it was not rejected");
  // those that ask for an answer are left to be decided one by one
  await go(page, "/approvals?pipeline=tale");
  await start("tale", { topic: "an answer" });
  await page.waitForSelector(".approval");
  await press(page, "*", "A");
  await page.waitForSelector("dialog[open] .left-out");
  must((await page.$("dialog[open] button.main")) === null, "it can be approved without its answer");
  await press(page, "Escape");
  await page.waitForSelector("dialog", { state: "detached" });
});

await check("shows text of a run as text, whatever it says", async () => {
  const { run } = await start("tale", { topic: "<img src=x onerror=\"window.harmed=1\"><script>window.harmed=1</script>\u202etxt" });
  const approval = await until("the question", async () => (await ask("GET", `/api/approvals?run=${run}`)).items[0]);
  await go(page, `/approvals/${approval.id}`);
  await page.waitForFunction(() => document.querySelector(".question")?.textContent.includes("onerror"));
  must((await page.textContent(".question")).includes("\\u{202e}"), "a mark that turns the text round is hidden");
  must((await page.evaluate(() => window.harmed === undefined && document.querySelector("main img, main script") === null)), "it became markup");
});

// Modules, health, schedules -------------------------------------------------------------------------------

const agent = (word) => `local M = { kind = "agent", name = "said", api = 1 }\nfunction M.execute()\n  return "${word}"\nend\nreturn M\n`;

await check("shows a reload, what could not be loaded, what differs between two versions, and takes one back", async () => {
  await go(page, "/modules/agent/said");
  await page.waitForSelector(".source");
  const before = (await ask("GET", "/api/modules/agent/said")).version;
  writeFileSync(`${project}/modules/agents/said.lua`, agent("second"));
  await page.waitForFunction(() => document.querySelector(".diff .added")?.textContent.includes("second"));
  await page.waitForFunction(() => document.querySelector(".diff .removed")?.textContent.includes("first"));
  writeFileSync(`${project}/modules/agents/said.lua`, "return {\n");
  await page.waitForSelector(".reload-failed");
  await page.click(".reload-failed summary");
  must((await page.textContent(".reload-failed")).includes("said.lua"), "it is not said which file");
  await picture(page, "modules");
  await press(page, "b");
  await until("the version before", async () => (await ask("GET", "/api/modules/agent/said")).version === before);
  await page.waitForFunction((version) => document.querySelector(".page-modules .detail .mono")?.textContent === version.slice(0, 12), before);
});

await check("shows whether runs can be moved to another version before it moves them", async () => {
  const file = `${project}/pipelines/moving.lua`;
  const text = readFileSync(file, "utf8");
  const versionOf = async (run) => (await ask("GET", `/api/runs/${run}`)).version;
  const serving = async () => (await ask("GET", "/api/pipelines/moving")).version;
  const first = (await start("moving", {})).run;
  const second = (await start("moving", {})).run;
  const before = await versionOf(first);
  for (const run of [first, second]) await until("the wait", async () => (await statusOf(run)) === "waiting");
  const change = async (from, to) => {
    const old = await serving();
    writeFileSync(file, text.replace(from, to));
    await until("the reload", async () => (await serving()) !== old);
  };
  // what a run has done already is asked for otherwise: it stays
  isExpected = true;
  await change('input = "one"', 'input = "anew"');
  await go(page, `/runs/${first}`);
  await page.waitForSelector(".run-head .s-waiting");
  await press(page, "m");
  await page.waitForFunction(() => /it stays as it is.*first difference: first/.test(document.querySelector("dialog[open] .outline")?.textContent ?? ""));
  must(await page.isDisabled("dialog[open] button.main"), "it can be moved although its record differs");
  await picture(page, "migrate-no");
  await press(page, "Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  // what is still to come is asked for otherwise: it moves
  await change('input = "two"', 'input = "three"');
  await press(page, "m");
  await page.waitForFunction(() => /It can be done/.test(document.querySelector("dialog[open] .outline")?.textContent ?? ""));
  must((await versionOf(first)) === before, "looking has changed it");
  await picture(page, "migrate");
  await page.click("dialog[open] button.main");
  await page.waitForSelector("dialog", { state: "detached" });
  const after = await versionOf(first);
  must(after !== before && after === (await serving()), "it was not moved");
  // all of the pipeline: one is there already
  await go(page, "/modules/pipeline/moving");
  await page.waitForFunction(() => /Migrate runs/.test(document.querySelector(".detail .buttons")?.textContent ?? ""));
  await press(page, "m");
  await page.waitForFunction(() => /1 of 2 can be moved, 1 already there/.test(document.querySelector("dialog[open]")?.textContent ?? ""));
  must((await versionOf(second)) === before, "looking has changed it");
  await picture(page, "migrate-runs");
  await page.click("dialog[open] button.main");
  await page.waitForSelector("dialog", { state: "detached" });
  must((await versionOf(second)) === after, "it was not moved");
  for (const run of [first, second]) {
    await ask("POST", `/api/runs/${run}/signal`, { name: "word", value: 1 });
    await until("the end of the run", async () => (await statusOf(run)) === "finished");
    must((await ask("GET", `/api/runs/${run}`)).output === "three", "it ends as before");
  }
});

await check("says how the host is, and that no schedules are set up", async () => {
  await go(page, "/health");
  await page.waitForFunction(() => document.querySelector(".card")?.textContent.includes("✓ takes work"));
  await page.click(".family summary >> nth=0");
  await picture(page, "health");
  await go(page, "/schedules");
  await page.waitForFunction(() => /No schedules are set up/.test(document.body.textContent) || document.querySelector(".card .times"));
});

const timed = `local weir = require "weir"
return weir.pipeline "timed" {
  on = { { schedule = { cron = "0 3 1 1 *", tz = "Europe/Berlin" }, name = "yearly" } },
  weir.step "said" { agent = "said" },
}
`;

await check("shows what a schedule did and will do, pauses it and starts a run now", async () => {
  await go(page, "/schedules");
  writeFileSync(`${project}/pipelines/timed.lua`, timed);
  await page.waitForFunction(() => document.querySelector(".card h2")?.textContent === "timed/yearly");
  must((await page.textContent(".card")).includes("0 3 1 1 *"), "it is not said when");
  must((await page.textContent(".card .times")).includes("-01-01 03:00:00"), "the next times are missing");
  await page.click("text=Start now");
  await page.waitForFunction(() => document.querySelector(".card ul.times")?.textContent.includes("finished"));
  await picture(page, "schedules");
  await page.click("text=Pause");
  await page.waitForFunction(() => document.querySelector(".card-head")?.textContent.includes("paused"));
  must((await ask("GET", "/api/schedules/timed")).paused.by, "it is not said by whom");
  await page.click("text=Resume");
  await page.waitForFunction(() => !document.querySelector(".card-head")?.textContent.includes("paused"));
  rmSync(`${project}/pipelines/timed.lua`);
});

// Events, goals, skills ------------------------------------------------------------------------------------

const inbox = `local weir = require "weir"
return weir.pipeline "inbox" {
  input = { path = "string" },
  on = { files = { path = "inbox", events = { "create" }, settle = "100ms" }, name = "folder", input = { path = "$.event.data.path" } },
  weir.step "said" { agent = "said" },
}
`;

await check("lists events, gives one once more, and pauses a source", async () => {
  await go(page, "/events");
  await page.waitForFunction(() => /No event has come yet/.test(document.body.textContent));
  mkdirSync(`${project}/inbox`);
  writeFileSync(`${project}/pipelines/inbox.lua`, inbox);
  await page.waitForFunction(() => document.querySelector(".card h2")?.textContent === "inbox/folder");
  writeFileSync(`${project}/inbox/one.txt`, "one");
  await page.waitForFunction(() => document.querySelector(".thing .name")?.textContent.includes("file"));
  await ask("POST", "/api/events", { specversion: "1.0", id: "7", source: "/shop", type: "order.paid", data: { id: 7 } }, "application/cloudevents+json");
  await page.click(".thing:has-text('order.paid')");
  await page.waitForFunction(() => /\/shop/.test(document.querySelector(".detail .facts")?.textContent));
  await picture(page, "events");
  await press(page, "e");
  await page.waitForFunction(() => [...document.querySelectorAll(".thing .name")].filter((one) => one.textContent === "order.paid").length === 2);
  await press(page, "Escape", "/");
  await page.keyboard.type("order.*");
  await page.waitForFunction(() => document.querySelectorAll(".thing").length === 2);
  must((await page.evaluate(() => location.hash)).includes("type=order."), "the type is not in the address");
  await page.click(".card >> text=Pause");
  await page.waitForFunction(() => document.querySelector(".card-head")?.textContent.includes("paused"));
  await page.click(".card >> text=Resume");
  await page.waitForFunction(() => !document.querySelector(".card-head")?.textContent.includes("paused"));
  rmSync(`${project}/pipelines/inbox.lua`);
});

await check("lists goals, and shows one with its plans", async () => {
  await go(page, "/goals");
  await page.waitForFunction(() => /No goal was planned for/.test(document.body.textContent));
  writeFileSync(`${project}/notes.csv`, "name,size\na,1\nb,2\n");
  const { run } = await start("report", { folder: "." });
  await page.waitForFunction(() => /one report/.test(document.querySelector(".thing .name")?.textContent));
  await until("the report", async () => (await statusOf(run)) === "finished");
  await page.click(".thing");
  await page.waitForFunction(() => /csv_table/.test(document.querySelector(".detail .source")?.textContent));
  must((await page.textContent(".detail .facts")).includes(run), "the run is not named");
  await picture(page, "goals");
});

await check("lists skills, and shows one with its trial", async () => {
  await go(page, "/skills");
  await page.waitForFunction(() => /Nothing was learned yet/.test(document.body.textContent));
  await start("rainfall", {});
  await page.waitForFunction(() => /read_csv/.test(document.querySelector(".thing .name")?.textContent));
  await page.click(".thing");
  await page.waitForFunction(() => /nothing but compute/.test(document.querySelector(".detail")?.textContent));
  await page.click(".detail summary >> text=Trial");
  await page.waitForFunction(() => /verdict/.test(document.querySelector(".detail details[open]")?.textContent));
  await picture(page, "skills");
});

// Incidents, candidates ------------------------------------------------------------------------------------

const detailSays = (pattern) => page.waitForFunction((of) => new RegExp(of).test(document.querySelector(".detail")?.textContent), pattern.source);

await check("lists incidents, and shows what was decided about one, why, and what came of it", async () => {
  await go(page, "/incidents");
  await page.waitForFunction(() => /No incident is known/.test(document.body.textContent));
  const { run } = await start("mending", { path: "<img src=x onerror=alert(1)>\u202e" });
  await page.waitForSelector(".thing .s-remedied");
  await page.waitForFunction(() => /mending\/read.*not_found.*quarantine/.test(document.querySelector(".thing")?.textContent));
  await page.click(".thing");
  await detailSays(/What was decided.*quarantine.*thresholds.*there is no such file.*Set aside.*onerror/);
  must((await page.locator(".detail img").count()) === 0 && (await page.textContent(".detail")).includes("\\u{202e}"), "text of the run is not shown as text");
  must(await page.isVisible(`.detail a[href="#/runs/${run}"]`), "the run is not linked");
  await picture(page, "incidents");
});

await check("closes an incident, and lists only those that somebody has to look at", async () => {
  const { run } = await start("mending", { path: "asked.txt" });
  await page.waitForSelector(".thing .s-escalated");
  await press(page, "Escape");
  await page.waitForSelector(".detail", { state: "hidden" });
  await picture(page, "incidents-list");
  await page.click(".chip");
  await page.waitForFunction(() => location.hash.includes("open=true") && document.querySelectorAll(".thing").length === 1);
  await page.click(".thing");
  await detailSays(/asked\.txt.*somebody has to know/);
  await press(page, "c");
  await page.waitForSelector("dialog[open] textarea");
  await picture(page, "incident-close");
  await page.fill("dialog[open] textarea", "it is known");
  await page.click("dialog[open] button.main");
  await page.waitForSelector("dialog", { state: "detached" });
  await detailSays(/closed.*it is known/);
  await page.waitForFunction(() => document.querySelectorAll(".thing").length === 0);
  const [one] = (await ask("GET", `/api/incidents?run=${run}`)).items;
  must(one.state === "closed" && one.note === "it is known", "it is not closed");
  await press(page, "Escape");
  await page.waitForFunction(() => /No incident fits/.test(document.body.textContent));
});

await check("takes a remedy back that holds for other runs, and tries again what failed", async () => {
  const { run } = await start("mending", { path: "held.txt" });
  const one = await until("the incident", async () => (await ask("GET", `/api/incidents?run=${run}`)).items[0]);
  await go(page, `/incidents/${one.id}`);
  await detailSays(/pause_pipeline.*for other runs too/);
  must((await ask("POST", "/api/runs", { pipeline: "mending", input: { path: "notes.csv" } })).code === "conflict", "the pipeline is not paused");
  await press(page, "b");
  await detailSays(/taken back.*local/);
  await page.waitForFunction(() => !/Take the remedy back/.test(document.querySelector(".detail").textContent));
  writeFileSync(`${project}/held.txt`, "held");
  await press(page, "y");
  await page.waitForSelector("dialog[open] button.main");
  await page.click("dialog[open] button.main");
  await page.waitForSelector("dialog", { state: "detached" });
  await detailSays(/tried again/);
  const again = (await ask("GET", `/api/incidents/${one.id}`)).replayed_as;
  await until("the new run", async () => (await statusOf(again)) === "finished");
  must(await page.isVisible(`.detail a[href="#/runs/${again}"]`), "the new run is not linked");
});

await check("closes all incidents of a fingerprint", async () => {
  await start("mending", { path: "first.txt" });
  await start("mending", { path: "second.txt" });
  await page.waitForFunction(() => document.querySelectorAll(".thing .s-remedied").length === 3);
  await page.click(".thing:has(.s-remedied)");
  await detailSays(/remedied/);
  await press(page, "c");
  await page.check("dialog[open] #incident-class");
  await press(page, "Enter");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.waitForFunction(() => document.querySelectorAll(".thing .s-closed").length === 5);
  must((await ask("GET", "/api/incidents")).items.every((one) => one.state === "closed"), "one is not closed");
});

await check("lists candidates, shows what one changes with its scores, and rolls back what was kept", async () => {
  await go(page, "/candidates");
  await page.waitForFunction(() => /Nothing was proposed yet/.test(document.body.textContent));
  await start("wordy", {});
  await page.waitForFunction(() => /4 → 9|3 → 6/.test(document.querySelector(".thing:has(.s-kept)")?.textContent));
  await until("the end of the reflection", async () => (await ask("GET", "/api/runs?pipeline=wordy-reflection")).items.every((each) => each.status === "finished"));
  await page.click(".thing:has(.s-kept)");
  await page.waitForFunction(() => /"words": 4/.test(document.querySelector(".detail .removed")?.textContent) && /"words": 9/.test(document.querySelector(".detail .added")?.textContent));
  must(/kept, serves now.*approved by.*rule.*known.*held out/.test(await page.textContent(".detail .facts")), "what came of it is missing");
  await page.click(".detail summary >> text=held out");
  await picture(page, "candidates");
  const before = (await ask("GET", "/api/pipelines/wordy")).version;
  await press(page, "b");
  await page.waitForFunction(() => /something else serves now/.test(document.querySelector(".detail .facts")?.textContent));
  must((await ask("GET", "/api/pipelines/wordy")).version !== before, "the same version serves");
  must(await page.locator(".detail button").count() === 0, "what does not serve can be rolled back");
});

await check("leads from a candidate that a person has to see to its question", async () => {
  await start("careful", {});
  await until("the question", async () => (await ask("GET", "/api/approvals?pipeline=careful-reflection")).items[0]);
  await page.click(".thing:has-text('careful')");
  await page.click(".detail .facts a[href^='#/approvals/']");
  await page.waitForFunction(() => /Try this change of 'careful'/.test(document.querySelector(".question")?.textContent));
});

// Size, colours, width -------------------------------------------------------------------------------------

await check("says what came of the items of a large map, which are no steps", async () => {
  const { run } = await start("many", { items: Array.from({ length: 1500 }, (_, at) => `item ${at}`) });
  await until("the end of the map", async () => (await statusOf(run)) === "finished");
  await go(page, `/runs/${run}`);
  await page.waitForFunction(() => document.querySelector(".step .many")?.textContent === "1500 · ✓1500");
  await press(page, "2");
  await page.waitForFunction(() => document.querySelector(".graph")?.textContent.includes("1500 inside: ✓1500"));
});

await check("stays smooth with a run of 5,000 steps", async () => {
  const { run } = await start("crowd", { items: Array.from({ length: 1700 }, (_, at) => `item ${at}`) }); // each two steps
  await until("the end of the map", async () => (await statusOf(run)) === "finished");
  await go(page, `/runs/${run}`);
  await page.waitForSelector(".step .many");
  await press(page, "j", "o");
  await page.waitForFunction(() => document.querySelectorAll(".step").length > 10);
  await press(page, "End");
  await page.waitForFunction(() => [...document.querySelectorAll(".step .name")].some((name) => name.textContent.includes("[1699]")));
  must((await page.evaluate(() => document.querySelectorAll("*").length)) < 3000, "too many elements are in the page");
  await page.waitForFunction(() => document.querySelector(".row.selected"));
});

await check("is dark where the system is, and by its own switch", async () => {
  const colour = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await go(page, "/runs");
  await page.waitForSelector(".list .row");
  const light = await colour();
  await page.emulateMedia({ colorScheme: "dark" });
  must((await colour()) !== light, "it does not follow the system");
  await picture(page, "runs-dark");
  await press(page, "t");
  must((await colour()) === light, "its own switch does not hold against the system");
  await press(page, "t", "t");
  await go(page, `/runs/${spoken}?tab=graph`);
  await page.waitForSelector(".graph");
  await picture(page, "graph-dark");
  for (const [name, there] of [["incidents", ".detail .facts"], ["candidates", ".detail .diff"]]) {
    await go(page, `/${name}/${(await ask("GET", `/api/${name}`)).items.at(-1).id}`);
    await page.waitForSelector(there);
    await picture(page, `${name}-dark`);
  }
  await go(page, "/approvals");
  await page.waitForSelector(".approval");
  await press(page, "*", "X");
  await page.waitForSelector("dialog[open] .chosen");
  await picture(page, "bulk-dark");
  await press(page, "Escape");
  await page.waitForSelector("dialog", { state: "detached" });
  await page.emulateMedia({ colorScheme: "light" });
});

await check("fits into 360 pixels", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  const [approvals, incidents, candidates] = await Promise.all(["approvals", "incidents", "candidates"].map(async (name) => (await ask("GET", `/api/${name}`)).items));
  const places = [["/runs", ".list .row"], [`/runs/${spoken}`, ".step .bar"], [`/runs/${spoken}?tab=graph`, ".graph .box"], [`/runs/${spoken}?tab=journal`, ".entry"],
    [`/runs/${spoken}?tab=data`, ".data .value"], [`/runs/${spoken}?step=speak`, ".panel .value"], ["/approvals", ".approval"], [`/approvals/${approvals[0].id}`, ".question"],
    ["/start", ".choices a"], ["/start/tale", ".starter"], ["/schedules", ".cards > *"], ["/events", ".thing"], ["/incidents", ".thing"], [`/incidents/${incidents[0].id}`, ".detail .facts"],
    ["/candidates", ".thing"], [`/candidates/${candidates.find((one) => one.state === "kept").id}`, ".detail .diff"], ["/goals", ".thing"], ["/skills", ".thing"], ["/skills/read_csv", ".detail .facts"], ["/modules", ".module"], ["/modules/agent/said", ".detail .facts"], ["/health", ".family"]];
  for (const [place, there] of places) {
    await go(page, place);
    await page.waitForSelector(there);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    await picture(page, `narrow${place.replace(/\W+/g, "-").replace(/r_\w+|a_\w+/g, "x")}`);
    must(width <= 360, `${place} is ${width} pixels wide`);
  }
  const moving = (await start("moving", {})).run;
  for (const [place, there, keys, name] of [["/approvals", ".approval", ["*", "X"], "bulk"], [`/runs/${moving}`, ".run-head .s-waiting", ["m"], "migrate"],
    ["/modules/pipeline/moving", ".detail .facts", ["m"], "migrate-runs"]]) {
    await go(page, place);
    await page.waitForSelector(there);
    await press(page, ...keys);
    await page.waitForSelector("dialog[open]");
    await page.waitForFunction(() => !/comparing|…/.test(document.querySelector("dialog[open]").textContent));
    await picture(page, `narrow-${name}`);
    const [width, inside] = await page.evaluate(() => [document.documentElement.scrollWidth, document.querySelector("dialog").scrollWidth - document.querySelector("dialog").clientWidth]);
    must(width <= 360 && inside <= 0, `${name}: the page is ${width} pixels wide, its dialog ${inside} wider than it should be`);
    await press(page, "Escape");
    await page.waitForSelector("dialog", { state: "detached" });
  }
  await page.setViewportSize({ width: 1280, height: 800 });
});

await check("says so when the host is a newer one than the page", async () => {
  await page.route("**/console/edition", (route) => route.fulfill({ body: "another\n" }));
  await go(page, "/runs");
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await page.waitForSelector("#bar:not([hidden])");
  must((await page.textContent("#bar")).includes("Reload the page"), "the bar says something else");
  await page.unroute("**/console/edition");
  await page.reload();
  await page.waitForSelector("#live.is-live");
  must(await page.isHidden("#bar"), "it says so of its own host");
});

await check("is less than 90 KB when packed", async () => {
  const files = readdirSync("modules/console", { recursive: true }).filter((name) => /\.(html|js|css|svg)$/.test(name));
  const size = files.reduce((sum, name) => sum + gzipSync(readFileSync(`modules/console/${name}`)).length, 0);
  must(files.length > 20 && size < 90000, `${files.length} files have ${size} bytes`);
});

await check("asks nobody but its host", async () => {
  must(strangers.length === 0, strangers.join(", "));
});

await check("gives the browser nothing to complain about", async () => {
  must(complaints.length === 0, complaints.join("\n"));
});

await browser.close();
