// measure.mjs - how long the console takes, for `weir bench`.
//     node measure.mjs ADDRESS ROUNDS
// ADDRESS is what `weir dev` prints, with the token. Prints one line of JSON, medians in seconds: {"paint", "bare_paint",
// "event", "request"}: from opening the console to its first paint, the same for a page that is one line of text; from
// asking for a run to its row on the page, and one request of the page.

import { createRequire } from "node:module";

const [address, rounds] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(process.env.WEIR_PLAYWRIGHT);
const [origin, token] = address.split("/#token=");

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
const browser = await chromium.launch({ executablePath: process.env.WEIR_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

async function paint(url) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(url);
  const seconds = await page.evaluate(() => new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries()[0].startTime / 1000)).observe({ type: "paint", buffered: true });
  }));
  await context.close();
  return seconds;
}

async function start() {
  const answer = await fetch(`${origin}/api/runs`, { method: "POST", body: JSON.stringify({ pipeline: "hello", input: {} }),
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" } });
  return (await answer.json()).run;
}

// The page notes when rows come, so that nothing of the driver's own way is counted.
async function watched() {
  const page = await (await browser.newContext()).newPage();
  await page.goto(address);
  await page.waitForSelector("main");
  await page.evaluate(() => {
    window.seen = {};
    new MutationObserver(() => {
      for (const id of document.body.textContent.match(/r_[0-9a-z]{20}/g) ?? []) window.seen[id] ??= Date.now();
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  return page;
}

async function event(page) {
  const from = Date.now();
  const run = await start();
  await page.waitForFunction((id) => window.seen[id], run);
  return (await page.evaluate((id) => window.seen[id], run) - from) / 1000;
}

const request = (page) => page.evaluate(async () => {
  const from = performance.now();
  await (await fetch("/healthz")).text();
  return (performance.now() - from) / 1000;
});

const figures = { paint: [], bare_paint: [], event: [], request: [] };
const page = await watched();
await event(page); // the first one finds nothing warm
for (let round = 0; round < Number(rounds); round += 1) {
  figures.paint.push(await paint(address));
  figures.bare_paint.push(await paint(`${origin}/healthz`));
  figures.event.push(await event(page));
  figures.request.push(await request(page));
}
await browser.close();
console.log(JSON.stringify(Object.fromEntries(Object.entries(figures).map(([name, values]) => [name, median(values)]))));
