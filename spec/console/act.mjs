// act.mjs - does one thing in the console, as a person with a keyboard does, and ends when the page says that it is done.
//     node act.mjs ADDRESS approve|reject ID COMMENT
//     node act.mjs ADDRESS retry RUN STEP            prints the new run's id
//     node act.mjs ADDRESS rollback KIND NAME
// ADDRESS is what `weir dev` prints, with the token. WEIR_PLAYWRIGHT and WEIR_CHROMIUM as for driver.mjs.

import { createRequire } from "node:module";

const [address, action, ...args] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(process.env.WEIR_PLAYWRIGHT);
const PATIENCE = 60000;

const browser = await chromium.launch({ executablePath: process.env.WEIR_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const page = await browser.newPage();
page.setDefaultTimeout(PATIENCE);
await page.goto(address);
await page.waitForFunction(() => !location.hash.includes("token"));

const go = (hash) => page.evaluate((to) => { location.hash = to; }, hash);

async function decide(key, id, comment) {
  await go(`/approvals/${id}`);
  await page.waitForSelector(".question #comment");
  await page.fill(".question #comment", comment);
  await page.focus(".detail");
  await page.keyboard.press(key);
  await page.waitForSelector(".toast.good");
}

const actions = {
  approve: (id, comment) => decide("a", id, comment),
  reject: (id, comment) => decide("x", id, comment),
  async retry(run, step) {
    await go(`/runs/${run}?step=${encodeURIComponent(step)}`);
    await page.waitForSelector(".panel-tools");
    await page.keyboard.press("r");
    await page.waitForSelector("dialog .outline");
    await page.keyboard.press("Enter");
    await page.waitForFunction((old) => location.hash.startsWith("#/runs/r_") && !location.hash.includes(old), run);
    console.log(await page.evaluate(() => location.hash.split("/")[2].split("?")[0]));
  },
  async rollback(kind, name) {
    await go(`/modules/${kind}/${name}`);
    const version = ".page-modules .detail .mono";
    await page.waitForSelector(version);
    const before = await page.textContent(version);
    await page.keyboard.press("b");
    await page.waitForFunction(([at, old]) => document.querySelector(at)?.textContent !== old, [version, before]);
  },
};

try {
  await actions[action](...args);
} finally {
  await browser.close();
}
