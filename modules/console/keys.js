// keys.js - the keyboard. A binding is {keys, says, does}; keys are one press ("j", "?") or two ("g r"). While somebody
// types only Escape counts.

const PAUSE_MS = 1200;

let global = [];
let page = [];
let pending = "";
let timer = 0;

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
    !(target.tagName === "INPUT" && /^(checkbox|radio|button|submit)$/.test(target.type));
}

function nameOf(event) {
  if (event.key === " ") return "Space";
  return event.key;
}

function bindings() {
  return document.querySelector("dialog[open]") ? [] : [...page, ...global];
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = isTyping(event.target);
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const name = nameOf(event);
  const whole = pending ? `${pending} ${name}` : name;
  clearTimeout(timer);
  pending = "";
  const all = bindings();
  const found = all.find((one) => one.keys.split(", ").includes(whole));
  if (found) {
    if (found.does(event) !== false) event.preventDefault();
    return;
  }
  if (all.some((one) => one.keys.split(", ").some((keys) => keys.startsWith(`${whole} `)))) {
    pending = whole;
    timer = setTimeout(() => { pending = ""; }, PAUSE_MS);
  }
}

/** Begins to listen; the bindings hold on every page. */
export function listen(list) {
  global = list;
  document.addEventListener("keydown", press);
}

/** The bindings of the page that is open. */
export function ofPage(list) {
  page = list ?? [];
}

/** All that hold now, for the list of keys. */
export const all = () => ({ page, global });
