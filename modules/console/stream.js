// stream.js - server-sent events by fetch, since an EventSource cannot carry a token. Comes back with the id of the last
// event after a break; a stream that says nothing for long (the host sends a line every ten seconds) is taken as broken.

import { check, headers } from "./api.js";

const SILENCE_MS = 25000;
const FIRST_MS = 500;
const LONGEST_MS = 10000;

// Lines of one stream, put together to events.
class Reader {
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = "";
    this.clear();
  }

  clear() {
    this.kind = "message";
    this.data = [];
    this.id = undefined;
  }

  line(text) {
    if (text === "") return this.dispatch();
    if (text.startsWith(":")) return undefined;
    const at = text.indexOf(":");
    const name = at < 0 ? text : text.slice(0, at);
    const value = at < 0 ? "" : text.slice(at + 1).replace(/^ /, "");
    if (name === "event") this.kind = value;
    else if (name === "data") this.data.push(value);
    else if (name === "id") this.id = value;
    return undefined;
  }

  dispatch() {
    if (this.data.length > 0) this.onEvent({ id: this.id, kind: this.kind, text: this.data.join("\n") });
    this.clear();
  }

  push(text) {
    const lines = (this.rest + text).split(/\r?\n/);
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
  }
}

/**
 * Follows a stream until it is closed.
 *   onEvent({id, kind, data}); `gap` is a kind: something was missed, read again what matters
 *   onState("live" | "broken" | "ended")
 *   isLast(event): after this one it is over
 * Gives {close}.
 */
export function follow(address, { onEvent, onState = () => {}, isLast = () => false }) {
  let isClosed = false;
  let lastId;
  let pause = FIRST_MS;
  let abort;
  let timer;
  let isOver = false;

  function take(event) {
    if (event.id !== undefined) lastId = event.id;
    let data;
    try {
      data = JSON.parse(event.text);
    } catch {
      return;
    }
    const whole = { id: event.id, kind: event.kind, data };
    if (isLast(whole)) isOver = true;
    onEvent(whole);
  }

  async function once() {
    abort = new AbortController();
    let silence;
    const hear = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENCE_MS);
    };
    try {
      hear();
      const more = { Accept: "text/event-stream" };
      if (lastId !== undefined) more["Last-Event-ID"] = lastId;
      const response = await check(await fetch(address, { headers: headers(more), signal: abort.signal, cache: "no-store", credentials: "omit" }));
      const reader = new Reader(take);
      const decoder = new TextDecoder();
      const body = response.body.getReader();
      onState("live");
      for (;;) {
        const { value, done } = await body.read();
        if (done) return;
        hear();
        pause = FIRST_MS;
        reader.push(decoder.decode(value, { stream: true }));
      }
    } finally {
      clearTimeout(silence);
    }
  }

  async function run() {
    while (!isClosed && !isOver) {
      try {
        await once();
      } catch (error) {
        if (error.status === 401 || error.status === 403 || error.status === 404) break;
      }
      if (isClosed || isOver) break;
      onState("broken");
      await new Promise((resolve) => {
        timer = setTimeout(resolve, pause);
      });
      pause = Math.min(LONGEST_MS, pause * 2);
    }
    if (!isClosed) onState("ended");
  }

  run();
  return {
    close() {
      isClosed = true;
      clearTimeout(timer);
      if (abort) abort.abort();
    },
  };
}
