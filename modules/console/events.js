// events.js - the one stream of what happens to runs and modules of the host; pages subscribe to it.

import { follow } from "./stream.js";

// Not what every step does: a run that is looked at has a stream of its own.
const KINDS = "run,waiting,approval,schedule,reload,reload_failed,incident";
const subscribers = new Set();
const watchers = new Set();
let stream = null;
let state = "broken";

function start() {
  if (stream) return;
  stream = follow(`/api/events?kinds=${KINDS}`, {
    onEvent: (event) => subscribers.forEach((f) => f(event)),
    onState(now) {
      const wasBroken = state !== "live";
      state = now;
      if (now === "ended") stream = null;
      watchers.forEach((f) => f(now));
      if (now === "live" && wasBroken) subscribers.forEach((f) => f({ kind: "gap", data: {} }));
    },
  });
}

/** Hears every event, and `gap` when some were missed or the stream has just begun. Gives what ends it. */
export function subscribe(f) {
  subscribers.add(f);
  start();
  if (state === "live") queueMicrotask(() => f({ kind: "gap", data: {} }));
  return () => subscribers.delete(f);
}

/** Hears whether the stream is live. */
export function watch(f) {
  watchers.add(f);
  f(state);
}

/** Begins again, with the token of now. */
export function restart() {
  if (stream) stream.close();
  stream = null;
  state = "broken";
  start();
}
