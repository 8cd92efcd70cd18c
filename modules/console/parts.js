// parts.js - what several pages show: a status with its sign, a moment, the head of a page.

import { h } from "./dom.js";
import { SIGNS, ago, brief, moment, words } from "./format.js";
import { address } from "./router.js";

/** A status: sign, word and colour. */
export const status = (name, { isShort = false } = {}) => h("span", { class: `status s-${name}`, title: words(name) },
  h("span", { class: "sign", "aria-hidden": isShort ? null : "true" }, SIGNS[name] ?? "•"), !isShort && ` ${words(name)}`);

/** A moment, with how long ago it was as its title. */
export const time = (text) => (text ? h("time", { datetime: text, title: `${moment(text)} (${ago(text)})` }, brief(text)) : "");

/** A link to a run. */
export const runLink = (id, text) => h("a", { href: address(["runs", id]), class: "mono" }, text ?? id);

/** A button with the key that does the same. */
export const button = (label, key, onclick, kind) => h("button", { type: "button", class: kind ?? "", onclick,
  "aria-keyshortcuts": key || null }, label, key && h("kbd", { "aria-hidden": "true" }, key));

/** The head of a page: its name, and what can be done there. */
export const head = (title, ...tools) => h("div", { class: "head" }, h("h1", {}, title), h("div", { class: "head-tools" }, tools));

/** Lines of names and values. */
export const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "")
  .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));

/** What stands where there is nothing. */
export const nothing = (text, hint) => h("div", { class: "nothing" }, h("p", {}, text), hint && h("p", { class: "hint" }, hint));

/** An error in the place of what could not be shown. */
export const problem = (error) => h("div", { class: "nothing problem", role: "alert" }, h("p", {}, `✗ ${error.message}`));
