// beside.js - a list and, beside it, what is chosen in it; the address says which. For pages that show things and what can be
// done with each.

import { calm, h, replace } from "./dom.js";
import * as events from "./events.js";
import * as lists from "./list.js";
import { nothing, problem } from "./parts.js";
import * as router from "./router.js";

const NARROW = "(max-width: 640px)";

/** A key that presses the button of the detail that bears it, if it stands there. */
export const presses = (key, says) => ({ keys: key, says, does() {
  const button = document.querySelector(`.detail [aria-keyshortcuts="${key}"]`);
  return button ? void button.click() : false;
} });

/**
 * Opens such a page in `root`, which stands for the address `#/PAGE/KEY`. options:
 * page: its name in the address; title; tools: elements beside the title; above: an element over the list, or nothing
 * load(cursor) -> {items, next}, the first page without a cursor; key(item) -> text; render(item) -> element of a row
 * show(key, items, again) -> elements, or a promise of them; again() loads all of it anew
 * empty: what stands there when there is nothing; hint: what brings something; every: milliseconds between two looks, if it
 * changes without a run; keys(chosen, again) -> keys of the page
 */
export function open(root, place, options) {
  const go = (parts) => router.go([options.page, ...parts], router.here().query);
  const keyOf = (now) => now.parts.join("/") || null;
  let chosen = keyOf(place);
  let items = [];
  let next = null;
  let isClosed = false;
  let isLoading = false;
  let looks = 0;
  let shown = null; // what the detail was made of: it stays as it is, with what was opened in it, until that changes

  const list = lists.create({ label: options.title, height: () => (matchMedia(NARROW).matches ? 48 : 32), key: options.key, render: options.render,
    stamp: (one) => JSON.stringify(one), open: (one) => go(options.key(one).split("/")), more });
  const detail = h("div", { class: "detail", tabindex: "-1" });
  const none = h("div", { hidden: true });
  root.classList.add("beside");
  root.append(...[h("div", { class: "head" }, h("h1", {}, options.title), h("div", { class: "filters" }, options.tools ?? [])), options.above, none,
    h("div", { class: "two" }, list.node, h("div", { class: "detail-box" }, h("a", { class: "back", href: `#/${options.page}` }, "‹ all"), detail))].filter(Boolean));

  function arrange() {
    root.classList.toggle("has-detail", Boolean(chosen));
    root.classList.toggle("is-empty", items.length === 0 && !chosen);
    none.hidden = items.length > 0 || Boolean(chosen);
    list.set(items);
  }

  async function show() {
    const key = chosen;
    const stamp = JSON.stringify([key, items.find((one) => options.key(one) === key)]);
    if (key && stamp === shown) return undefined;
    shown = stamp;
    if (!key) return replace(detail);
    try {
      const parts = await options.show(key, items, again);
      return isClosed || chosen !== key ? undefined : replace(detail, parts);
    } catch (error) {
      return isClosed || chosen !== key ? undefined : replace(detail, problem(error));
    }
  }

  // Of several looks that are on their way the one that was begun last counts.
  async function load() {
    looks += 1;
    const look = looks;
    try {
      const page = await options.load();
      if (isClosed || look !== looks) return;
      items = page.items;
      next = page.next;
      replace(none, nothing(options.empty, options.hint));
      arrange();
      show();
    } catch (error) {
      if (isClosed || look !== looks) return;
      items = [];
      arrange();
      replace(none, problem(error));
    }
  }

  function again() {
    shown = null;
    return load();
  }

  async function more() {
    if (!next || isLoading) return;
    isLoading = true;
    const look = looks;
    try {
      const page = await options.load(next);
      if (!isClosed && look === looks) {
        items = [...items, ...page.items];
        next = page.next;
        arrange();
      }
    } catch {
      // The end of the list stays where it is; scrolling asks again.
    }
    isLoading = false;
  }

  // Who has scrolled to later pages is not thrown back to the first one.
  const soon = calm(1000, () => { if (list.node.scrollTop === 0) load(); });
  const unsubscribe = events.subscribe(({ kind }) => {
    if (kind === "run" || kind === "waiting" || kind === "reload" || kind === "incident" || kind === "gap") soon();
  });
  const timer = options.every ? setInterval(() => { if (!document.hidden) soon(); }, options.every) : 0;
  load();

  return {
    again,
    update(now) {
      chosen = keyOf(now);
      arrange();
      show();
    },
    close() {
      isClosed = true;
      clearInterval(timer);
      unsubscribe();
      soon.cancel();
      list.close();
    },
    keys: [...lists.keysOf(() => list), ...(options.keys ? options.keys(() => chosen, again) : []),
      { keys: "Escape", says: "back to the list", does: () => (chosen ? go([]) : false) }],
  };
}
