// api.js - requests to the host that served this page, and what it refuses as errors for people.

import * as token from "./token.js";

/** What the host refused: problem details of RFC 9457. `status` 0: it was not reached. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `status ${status}`);
    this.status = status;
    this.code = problem.code ?? "failed";
    this.problem = problem;
    this.errors = problem.errors ?? [];
  }
}

const listeners = { denied: [], odd: [] };

/** Hears of `denied` (no token, or a wrong one) and of `odd` (an answer that an older page may get from a newer host). */
export const on = (what, f) => listeners[what].push(f);

const tell = (what, value) => listeners[what].forEach((f) => f(value));

export function headers(more) {
  const all = { Accept: "application/json", ...more };
  if (token.get()) all.Authorization = `Bearer ${token.get()}`;
  return all;
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return { title: response.statusText, detail: `the host answered with status ${response.status}` };
  }
}

const ODD = new Set([404, 405, 415, 422]);

/** Raises a Refusal for an answer that is none of the 2xx. */
export async function check(response) {
  if (response.ok || response.status === 304) return response;
  const refusal = new Refusal(response.status, await problemOf(response));
  if (response.status === 401) tell("denied", refusal);
  if (ODD.has(response.status)) tell("odd", refusal);
  throw refusal;
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { detail: "the host cannot be reached; is `weir serve` still running?", code: "unavailable" });
  }
  return check(response);
}

/** The path of a thing: segments, then a query without what is empty. */
export function path(segments, query) {
  const parameters = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(parameters).toString();
  return `/api/${segments.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export async function get(segments, query, options) {
  const response = await send(path(segments, query), { headers: headers(), ...options });
  return response.json();
}

export async function post(segments, body, more) {
  const response = await send(path(segments), { method: "POST", headers: headers({ "Content-Type": "application/json", ...more }),
    body: JSON.stringify(body ?? {}) });
  return response.status === 204 ? null : response.json();
}

/** Text of a path outside of /api, such as /metrics. */
export async function text(address) {
  return (await send(address, { headers: headers({ Accept: "text/plain" }) })).text();
}

let description = null;

/** Whether the host has a route, by its path as the description writes it: `/api/schedules/{id}`. Asked once. */
export async function has(route) {
  description ??= get(["openapi.json"]).catch((error) => {
    description = null;
    throw error;
  });
  return route in ((await description).paths ?? {});
}

/** What is not there is null. */
export async function getOrNothing(segments, query) {
  try {
    return await get(segments, query);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}
