// croner.mjs - the next times of cron patterns, as npm's croner has them: one JSON line [pattern, zone, seconds, count] on
// stdin, one line on stdout: the seconds of the next times, or {"refused": why}.

import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { Cron } = await import(pathToFileURL(`${process.argv[2]}/node_modules/croner/dist/croner.js`));
const out = [];

for await (const line of createInterface({ input: process.stdin })) {
  const [pattern, timezone, from, count] = JSON.parse(line);
  let answer;
  try {
    const job = new Cron(pattern, { timezone, fixedTimeRule: "no-wildcard", paused: true });
    answer = job.nextRuns(count, new Date(from * 1000)).map((date) => date.getTime() / 1000);
  } catch (error) {
    answer = { refused: String(error.message) };
  }
  out.push(JSON.stringify(answer));
}
process.stdout.write(`${out.join("\n")}\n`);
