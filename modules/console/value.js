// value.js - plain data as a tree that opens where somebody looks. Members are made when they are opened, long lists in
// pieces, so that data of any size stays quick.

import { h, visible } from "./dom.js";

const PIECE = 100;   // members made at once
const TEXT = 4000;   // characters of a text before it is cut

function textNode(text) {
  if (text.length <= TEXT && !text.includes("\n")) return h("span", { class: "v-text" }, `"${visible(text)}"`);
  const body = h("pre", { class: "v-long" }, visible(text.slice(0, TEXT)));
  const box = h("span", {}, body);
  if (text.length > TEXT) {
    const more = h("button", { type: "button", class: "link", onclick() {
      body.textContent = visible(text);
      more.remove();
    } }, `all ${text.length} characters`);
    box.append(more);
  }
  return box;
}

function members(value) {
  return Array.isArray(value) ? value.map((one, index) => [index, one]) : Object.entries(value);
}

function fill(box, list, from, depth) {
  const end = Math.min(list.length, from + PIECE);
  for (let at = from; at < end; at += 1) box.append(member(list[at][0], list[at][1], depth));
  if (end < list.length) {
    const more = h("button", { type: "button", class: "link", onclick() {
      more.remove();
      fill(box, list, end, depth);
    } }, `${list.length - end} more`);
    box.append(more);
  }
}

const brief = (value) => (Array.isArray(value) ? `[${value.length}]` : `{${Object.keys(value).slice(0, 4).map(visible).join(", ")}${Object.keys(value).length > 4 ? ", …" : ""}}`);

function branch(label, value, depth) {
  const list = members(value);
  if (list.length === 0) return h("div", { class: "v-row" }, label, h("span", { class: "v-none" }, Array.isArray(value) ? "[]" : "{}"));
  const box = h("div", { class: "v-members" });
  const node = h("details", { class: "v-branch" }, h("summary", {}, label, h("span", { class: "v-none" }, brief(value))), box);
  const make = () => {
    if (node.open && box.childElementCount === 0) fill(box, list, 0, depth + 1);
  };
  node.addEventListener("toggle", make);
  if (depth < 2 && list.length <= 30) {
    node.open = true;
    make();
  }
  return node;
}

function member(key, value, depth) {
  const label = h("span", { class: "v-key" }, typeof key === "number" ? `${key}: ` : `${visible(key)}: `);
  if (value !== null && typeof value === "object") return branch(label, value, depth);
  return h("div", { class: "v-row" }, label, leaf(value));
}

function leaf(value) {
  if (typeof value === "string") return textNode(value);
  return h("span", { class: value === null ? "v-none" : "v-number" }, String(value));
}

/** A value as elements. */
export function view(value) {
  const box = h("div", { class: "value" });
  if (value === undefined) box.append(h("span", { class: "v-none" }, "nothing"));
  else if (value !== null && typeof value === "object") {
    const list = members(value);
    if (list.length === 0) box.append(h("span", { class: "v-none" }, Array.isArray(value) ? "[]" : "{}"));
    else fill(box, list, 0, 1);
  } else box.append(leaf(value));
  return box;
}

/** A value with a button that copies it as JSON. */
export function copyable(value) {
  return h("div", { class: "copyable" }, view(value), h("button", { type: "button", class: "quiet copy", title: "Copy as JSON", "aria-label": "Copy as JSON",
    async onclick(event) {
      const button = event.currentTarget;
      await copy(JSON.stringify(value, null, 2) ?? "");
      button.textContent = "✓";
      setTimeout(() => { button.textContent = "copy"; }, 1200);
    } }, "copy"));
}

/** Puts text on the clipboard, also where the clipboard's own interface is refused. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "away" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
