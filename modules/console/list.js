// list.js - a list of any length, of which only what is seen is in the page. All rows are equally high; a row is made
// anew only when what it shows has changed.

import { h } from "./dom.js";

const BEYOND = 8; // rows above and below what is seen
let count = 0;

/**
 * options: label; height() in pixels; key(item, index); render(item, index) -> element; open(item, index);
 * more(): asked for the next ones when the end is near; stamp(item): changes when the row has to be made anew.
 * Gives {node, set(items), at, refresh, move, openSelected, select, items}.
 */
export function create(options) {
  count += 1;
  const prefix = `list-${count}`;
  const body = h("div", { class: "list-body", role: "presentation" });
  const node = h("div", { class: "list", role: "listbox", tabindex: "0", "aria-label": options.label }, body);
  let items = [];
  let selected = -1;
  let rows = new Map();
  let frame = 0;

  const height = () => options.height();

  function mark(row, index) {
    const isSelected = index === selected;
    row.classList.toggle("selected", isSelected);
    row.setAttribute("aria-selected", isSelected);
    row.setAttribute("aria-posinset", index + 1);
    row.setAttribute("aria-setsize", items.length);
  }

  function place(index, old) {
    const item = items[index];
    const key = options.key(item, index);
    const stamp = options.stamp ? options.stamp(item, index) : null;
    let entry = old.get(key);
    if (!entry || entry.stamp !== stamp || stamp === null) {
      const row = options.render(item, index);
      row.classList.add("row");
      row.setAttribute("role", "option");
      row.id = `${prefix}-${index}`;
      if (entry) entry.row.replaceWith(row);
      entry = { row, stamp };
    }
    entry.row.style.setProperty("transform", `translateY(${index * height()}px)`);
    entry.row.dataset.index = index;
    entry.row.id = `${prefix}-${index}`;
    mark(entry.row, index);
    rows.set(key, entry);
    if (!entry.row.isConnected) body.append(entry.row);
  }

  function draw() {
    frame = 0;
    const size = height();
    body.style.setProperty("height", `${items.length * size}px`);
    const first = Math.max(0, Math.floor(node.scrollTop / size) - BEYOND);
    const last = Math.min(items.length - 1, Math.ceil((node.scrollTop + node.clientHeight) / size) + BEYOND);
    const old = rows;
    rows = new Map();
    for (let index = first; index <= last; index += 1) place(index, old);
    for (const [key, entry] of old) if (!rows.has(key)) entry.row.remove();
    if (selected >= 0) node.setAttribute("aria-activedescendant", `${prefix}-${selected}`);
    else node.removeAttribute("aria-activedescendant");
    if (options.more && last >= items.length - 3 * BEYOND) options.more();
  }

  function refresh() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function show(index) {
    const size = height();
    const top = index * size;
    if (top < node.scrollTop) node.scrollTop = top;
    else if (top + size > node.scrollTop + node.clientHeight) node.scrollTop = top + size - node.clientHeight;
  }

  function select(index) {
    if (items.length === 0) return;
    selected = Math.max(0, Math.min(items.length - 1, index));
    show(selected);
    refresh();
    if (options.selected) options.selected(items[selected], selected);
  }

  /** Sets the items; who has scrolled down goes on seeing what was there. */
  function set(next, { keepView = true } = {}) {
    const chosen = selected >= 0 && items[selected] ? options.key(items[selected], selected) : null;
    const size = height();
    const topIndex = Math.floor(node.scrollTop / size);
    const top = keepView && node.scrollTop > 0 && items[topIndex] ? options.key(items[topIndex], topIndex) : null;
    items = next;
    if (chosen !== null) selected = items.findIndex((item, index) => options.key(item, index) === chosen);
    if (top !== null) {
      const now = items.findIndex((item, index) => options.key(item, index) === top);
      if (now >= 0 && now !== topIndex) {
        body.style.setProperty("height", `${items.length * size}px`);
        node.scrollTop += (now - topIndex) * size;
      }
    }
    refresh();
  }

  function openSelected() {
    if (selected >= 0 && items[selected]) options.open(items[selected], selected);
  }

  body.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (!row || event.target.closest("a, button, input, label")) return;
    select(Number(row.dataset.index));
    openSelected();
  });
  const page = () => Math.max(1, Math.floor(node.clientHeight / height()) - 1);
  const moves = { ArrowDown: () => selected + 1, ArrowUp: () => selected - 1, PageDown: () => selected + page(),
    PageUp: () => selected - page(), Home: () => 0, End: () => items.length - 1 };
  node.addEventListener("keydown", (event) => {
    if (event.target !== node) return;
    if (event.key === "Enter") {
      openSelected();
      event.preventDefault();
    } else if (moves[event.key]) {
      select(moves[event.key]());
      event.preventDefault();
    }
  });
  node.addEventListener("scroll", refresh, { passive: true });
  const watcher = new ResizeObserver(refresh);
  watcher.observe(node);

  return { node, set, refresh, select, openSelected, move: (by) => select(selected + by), at: () => selected, items: () => items,
    close: () => watcher.disconnect() };
}

/** The keys of a list, for a page. */
export function keysOf(list) {
  return [
    { keys: "j, ArrowDown", says: "next", does: () => { list().node.focus({ preventScroll: true }); list().move(1); } },
    { keys: "k, ArrowUp", says: "the one before", does: () => { list().node.focus({ preventScroll: true }); list().move(-1); } },
    { keys: "Enter", says: "open", does: (event) => (event.target.closest("a, button, summary, [role=button]") ? false : list().openSelected()) },
  ];
}
