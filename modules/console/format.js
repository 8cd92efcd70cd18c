// format.js - times, durations, sizes and statuses as people read them.

/** Each status has a sign beside its colour. */
export const SIGNS = {
  queued: "○", running: "▶", waiting: "◷", in_doubt: "?", finished: "✓", failed: "✗", cancelled: "⊘", quarantined: "⚠",
  skipped: "↷", damaged: "⚠", rejected: "✗", remedied: "✓", escalated: "◷", passed: "↷", closed: "■", proposed: "○", approved: "▶",
  canary: "◷", kept: "✓", reverted: "⊘", refused: "✗",
};

export const STATUSES = ["running", "waiting", "in_doubt", "queued", "finished", "failed", "cancelled", "quarantined"];
export const ENDED = new Set(["finished", "failed", "cancelled", "quarantined"]);

/** A status in words. */
export const words = (status) => String(status).replace(/_/g, " ");

/** Seconds as a short text: 12 ms, 3.4 s, 2 m 5 s, 3 h 4 m, 2 d 5 h. */
export function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (value < 0) value = 0;
  if (value < 0.001) return "<1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 60) return `${Math.round(value)} s`;
  const whole = Math.round(value);
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} m`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

export const ms = (text) => (text ? Date.parse(text) : null);

/** The time between two moments, the second one now when it has not come. */
export function between(from, to, now = Date.now()) {
  if (!from) return "";
  return seconds(((to ? ms(to) : now) - ms(from)) / 1000);
}

/** How long ago, or in how long. */
export function ago(text, now = Date.now()) {
  if (!text) return "";
  const difference = (now - ms(text)) / 1000;
  if (Math.abs(difference) < 1) return "now";
  return difference > 0 ? `${seconds(Math.floor(difference))} ago` : `in ${seconds(Math.ceil(-difference))}`;
}

const two = (number) => String(number).padStart(2, "0");

/** A moment in the time of this machine: 2026-11-25 14:03:07. */
export function moment(text) {
  if (!text) return "";
  const date = new Date(text);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The hour of today, the day of another one. */
export function brief(text) {
  const whole = moment(text);
  return whole.slice(0, 10) === moment(new Date().toISOString()).slice(0, 10) ? whole.slice(11) : whole.slice(0, 16);
}

/** Bytes: 812 B, 3.4 KiB, 12 MiB. */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 || value >= 10 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** A number with thin spaces between thousands. */
export const number = (value) => (Number.isInteger(value) ? String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f") : String(value));

/** A version: its first 12 digits. */
export const version = (text) => (text ? String(text).slice(0, 12) : "");

/** A text for a POSIX shell, as one word. */
export const quoted = (text) => (/^[\w.,:@/=+-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);

/** Whether a wait should be over by now: what goes on after a time is told by no event. */
export const isOver = (wait, now = Date.now()) => Boolean(wait.until) && ms(wait.until) + 300 < now;

/** What a run waits for, in a sentence. */
export function waits(wait, now = Date.now()) {
  const what = { approval: "a decision", in_doubt: "a person: it is not known whether it happened", signal: "the signal", event: "an event",
    sleep: "its time", timer: "its time", retry: "its next attempt", child: "a child run", pipeline: "a child run" }[wait.kind] ?? words(wait.kind);
  const name = wait.name ? ` '${wait.name}'` : "";
  return `${wait.step} waits for ${what}${name}` + (wait.since ? `, since ${brief(wait.since)}` : "") +
    (wait.until ? `, until ${brief(wait.until)} (${ago(wait.until, now)})` : "");
}
