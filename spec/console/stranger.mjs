// stranger.mjs - test 86: pages of other sites, and of a name that has come to mean this machine, do what they can to a
// host that listens here. A browser carries it all out; nothing may change, and nothing may be read.
//     node stranger.mjs ADDRESS APPROVAL
// ADDRESS is what `weir dev` prints, with the token; APPROVAL is one that waits. One line of JSON for each check:
// {"name", "ok", "error"}. The pages know the token: in the worst case it has leaked.

import { createServer } from "node:http";
import { createRequire } from "node:module";

const [address, approval] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(process.env.WEIR_PLAYWRIGHT);
const [origin, token] = address.split("/#token=");
const { port } = new URL(origin);
const FOREIGN = "evil.example"; // which the browser finds at 127.0.0.1
// What newer browsers refuse by themselves; the host has to do without.
const GUARDS = "LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights";
const PUBLIC = new Set(["/", "/healthz"]); // which anybody may load, and no other site may read
const START = JSON.stringify({ pipeline: "hello", input: {} });

const site = createServer((_, answer) => {
  answer.writeHead(200, { "content-type": "text/html" });
  answer.end("<!doctype html><title>a page of somebody else</title><iframe name=sink></iframe>");
});
await new Promise((ready) => { site.listen(0, "127.0.0.1", ready); });

async function ask(path) {
  return (await fetch(origin + path, { headers: { authorization: `Bearer ${token}` } })).json();
}

// All that a page could have changed.
async function state() {
  const paths = ["/api/runs", "/api/approvals", "/api/workspace/project", "/api/modules"];
  return JSON.stringify(await Promise.all(paths.map(ask)));
}

function must(holds, message) {
  if (!holds) throw new Error(message);
}

const browser = await chromium.launch({
  executablePath: process.env.WEIR_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP *.example 127.0.0.1", `--disable-features=${GUARDS}`],
});
const context = await browser.newContext();
const page = await context.newPage();
let answers = []; // of the host, to whatever the page did
context.on("response", (response) => {
  const url = new URL(response.url());
  if (url.port === port && !PUBLIC.has(url.pathname)) answers.push(response.status());
});

// Runs a body in the page; afterwards everything is as before. `least`: so many requests have reached the host and were refused.
async function check(name, least, body, given) {
  let error = null;
  try {
    answers = [];
    const before = await state();
    const result = await page.evaluate(body, { origin, token, approval, start: START, ...given });
    const end = Date.now() + 20000;
    while (answers.length < least && Date.now() < end) await new Promise((next) => { setTimeout(next, 20); });
    must(answers.length >= least, `only ${answers.length} answers of the host: it was not put to the test`);
    must(answers.every((status) => status >= 400), `the host has answered with ${answers}`);
    must(!result, `the page has seen: ${JSON.stringify(result)}`);
    must((await state()) === before, "something has changed");
  } catch (raised) {
    error = String(raised.message ?? raised).slice(0, 600);
  }
  process.stdout.write(`${JSON.stringify({ name, ok: error === null, error })}\n`);
}

// What both kinds of pages try: every request that can be made with fetch, and whether the page could read the answer.
async function requests({ origin: at, token: known, approval: id, start }) {
  const json = { "content-type": "application/json" };
  const tries = [
    ["POST", "/api/runs", start, { "content-type": "text/plain" }],
    ["POST", "/api/runs", start, json],
    ["POST", "/api/runs", start, { ...json, authorization: `Bearer ${known}` }],
    ["POST", `/api/approvals/${id}`, '{"decision":"approve"}', { ...json, authorization: `Bearer ${known}` }],
    ["POST", `/api/approvals/${id}`, '{"decision":"approve"}', { "content-type": "text/plain" }],
    ["PUT", "/api/workspace/project/mine", '"mine"', { ...json, authorization: `Bearer ${known}` }],
    ["DELETE", "/api/workspace/project/mine", undefined, { authorization: `Bearer ${known}` }],
    ["POST", "/api/modules/agent/echo/rollback", "{}", { ...json, authorization: `Bearer ${known}` }],
    ["GET", "/api/runs", undefined, { authorization: `Bearer ${known}` }],
    ["GET", "/healthz", undefined, {}],
    ["GET", "/", undefined, {}],
  ];
  const seen = [];
  for (const [method, path, body, headers] of tries) {
    for (const mode of ["cors", "no-cors"]) {
      for (const credentials of ["omit", "include"]) {
        const answer = await fetch(at + path, { method, body, headers, mode, credentials }).catch(() => null);
        if (answer && answer.type !== "opaque" && answer.ok) seen.push(`${method} ${path}`);
      }
    }
  }
  return seen.length > 0 && seen;
}

// A page of another site ------------------------------------------------------------------------------------

await page.goto(`http://${FOREIGN}:${site.address().port}/`);

await check("forms of another site change nothing", 3, ({ origin: at, start }) => {
  for (const kind of ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]) {
    const form = document.createElement("form");
    const input = document.createElement("input");
    [form.method, form.action, form.enctype, form.target] = ["POST", `${at}/api/runs`, kind, `sink-${kind}`];
    const frame = document.createElement("iframe");
    frame.name = form.target;
    input.name = `${start.slice(0, -1)},"more":"`; // as text/plain: {"pipeline":"hello",...,"more":"="}
    input.value = '"}';
    form.append(input);
    document.body.append(frame, form);
    form.submit();
  }
});

await check("scripts of another site change nothing and read nothing", 4, requests, {});

await check("beacons, pictures and scripts of another site change nothing", 2, async ({ origin: at, approval: id, start }) => {
  navigator.sendBeacon(`${at}/api/runs`, new Blob([start], { type: "text/plain" }));
  navigator.sendBeacon(`${at}/api/runs`, start);
  for (const kind of ["img", "script"]) {
    await new Promise((done) => {
      const element = document.createElement(kind);
      element.onload = element.onerror = done;
      element.src = `${at}/api/approvals/${id}?decision=approve`;
      document.body.append(element);
    });
  }
});

// Resolves with what was opened, of several addresses.
async function streams({ origin: at }) {
  const open = (make, name) => new Promise((done) => {
    const one = make();
    one.onopen = () => done(name);
    one.onerror = () => { one.close(); done(null); };
  });
  const opened = [];
  for (const path of ["/", "/api/events", "/api/runs", "/hooks/x"]) {
    opened.push(await open(() => new WebSocket(at.replace("http", "ws") + path), `socket ${path}`));
    opened.push(await open(() => new EventSource(at + path), `events ${path}`));
  }
  const seen = opened.filter((name) => name);
  return seen.length > 0 && seen;
}

await check("no socket and no stream opens for another site", 0, streams);

// A name that meant another machine a moment ago ---------------------------------------------------------------
// The page comes from its own server; from then on its name, with the host's port, means this machine: to the browser both
// are one origin, so that it asks nobody and hides nothing.

const own = `http://${FOREIGN}:${port}`;
await page.route(`${own}/page`, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html><title>rebound</title>" }));
await page.goto(`${own}/page`);
await check("a page whose name has come to mean this machine changes nothing and reads nothing", 20, requests, { origin: own });
await check("no socket and no stream opens for it", 3, streams, { origin: own });

// The control: the same request from the host's own page is taken, so the ones above were refused for where they came from.
let error = null;
try {
  await page.goto(origin);
  const before = await state();
  const status = await page.evaluate(async ([known, start]) => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${known}` };
    return (await fetch("/api/runs", { method: "POST", body: start, headers })).status;
  }, [token, START]);
  must(status === 202, `answered with ${status}`);
  must((await state()) !== before, "nothing has changed");
} catch (raised) {
  error = String(raised.message ?? raised);
}
process.stdout.write(`${JSON.stringify({ name: "the same from the host's own page is taken", ok: error === null, error })}\n`);

await browser.close();
site.close();
