// events.js - the one stream of everything that happens in the host; pages subscribe to it.

import { follow } from "./stream.js";

const subscribers = new Set();
const watchers = new Set();
let stream = null;
let state = "broken";

function start() {
  if (stream) return;
  stream = follow("/api/events", {
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
