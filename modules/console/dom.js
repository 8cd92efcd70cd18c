// dom.js - elements as calls. Whatever comes from a run goes into the page as text, never as markup: there is no
// function here that reads HTML.

const SVG = "http://www.w3.org/2000/svg";

function give(node, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
  else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
  else node.setAttribute(name, value === true ? "" : value);
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

function build(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) give(node, name, value);
  return add(node, children);
}

/** An element. props: attributes; `onNAME` a listener; `style` an object of CSS properties. */
export function h(tag, props, ...children) {
  return build(document.createElement(tag), props, children);
}

/** An element of SVG. */
export function svg(tag, props, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

/** Puts children in the place of those that are there. */
export function replace(node, ...children) {
  node.replaceChildren();
  return add(node, children);
}

export const $ = (id) => document.getElementById(id);

/** Calls a function at most once in so many milliseconds, the last time too. The result has `cancel`. */
export function calm(ms, f) {
  let timer = 0;
  let last = -Infinity;
  const call = () => {
    if (timer) return;
    timer = setTimeout(() => {
      timer = 0;
      last = performance.now();
      f();
    }, Math.max(0, last + ms - performance.now()));
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}

// Control characters, marks that turn the direction of writing and what cannot be seen are written out.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Text of a run as it may be shown: nothing in it hides. */
export function visible(text) {
  return String(text).replace(UNSEEN, (char) => `\\u{${char.charCodeAt(0).toString(16)}}`);
}
