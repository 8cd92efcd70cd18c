// main.js - the frame around the pages: which one is open, the keys that hold everywhere, colours, whether the host is
// heard, where a token comes from, and whether this page is older than the host.

import * as api from "./api.js";
import * as dialog from "./dialog.js";
import { $, calm, h, replace } from "./dom.js";
import * as events from "./events.js";
import * as keys from "./keys.js";
import * as router from "./router.js";
import * as token from "./token.js";

const PAGES = [
  { name: "runs", label: "Runs", key: "r" },
  { name: "approvals", label: "Approvals", key: "a" },
  { name: "start", label: "Start", key: "n" },
  { name: "schedules", label: "Schedules", key: "s" },
  { name: "events", label: "Events", key: "e" },
  { name: "incidents", label: "Incidents", key: "i" },
  { name: "candidates", label: "Candidates", key: "c" },
  { name: "goals", label: "Goals", key: "o" },
  { name: "skills", label: "Skills", key: "k" },
  { name: "modules", label: "Modules", key: "m" },
  { name: "health", label: "Health", key: "h" },
];

let open = null; // the page that is open: {name, parts, close, update, keys}

// Which page --------------------------------------------------------------------------------------------

const moduleOf = (place) => (place.page === "runs" && place.parts.length > 0 ? "run" : place.page);

function markNav(name) {
  for (const link of $("nav").children) {
    if (link.dataset.page === name) {
      link.setAttribute("aria-current", "page");
      if (link.offsetLeft + link.offsetWidth > $("nav").clientWidth + $("nav").scrollLeft || link.offsetLeft < $("nav").scrollLeft) link.scrollIntoView({ block: "nearest", inline: "center" });
    } else link.removeAttribute("aria-current");
  }
}

async function show() {
  const place = router.here();
  if (!PAGES.some((page) => page.name === place.page)) return router.go(["runs"]);
  const name = moduleOf(place);
  const same = open && open.name === name && open.update && (name !== "run" || open.parts[0] === place.parts[0]);
  if (same) {
    open.parts = place.parts;
    return open.update(place);
  }
  if (open && open.close) open.close();
  const mine = { name, parts: place.parts };
  open = mine;
  markNav(place.page);
  document.title = `${PAGES.find((page) => page.name === place.page).label} · weir`;
  const root = h("div", { class: `page page-${name}` });
  const page = await import(`./pages/${name}.js`);
  if (open !== mine) return undefined;
  replace($("page"), root);
  Object.assign(mine, page.open(root, place));
  keys.ofPage(mine.keys);
  return undefined;
}

// Keys --------------------------------------------------------------------------------------------------

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc" };

function listKeys() {
  const { page, global } = keys.all();
  const table = (title, list) => list.length > 0 && [h("h3", {}, title), h("dl", { class: "keys" }, list.filter((one) => one.says)
    .map((one) => h("div", {}, h("dt", {}, one.keys.split(", ").map((key) => h("kbd", {}, NAMES[key] ?? key))), h("dd", {}, one.says))))];
  dialog.open("Keys", [table("This page", page), table("Everywhere", global)]);
}

const GLOBAL = [
  { keys: "?", says: "list the keys", does: listKeys },
  { keys: "/", says: "filter", does: () => {
    const field = document.querySelector("[data-filter]");
    if (field) field.focus();
  } },
  ...PAGES.map((page) => ({ keys: `g ${page.key}`, says: `go to ${page.label.toLowerCase()}`, does: () => router.go([page.name]) })),
  { keys: "t", says: "change the colours", does: () => nextTheme() },
];

// Colours -----------------------------------------------------------------------------------------------

const THEMES = { auto: "◐ system", light: "☀ light", dark: "☾ dark" };

function readTheme() {
  try {
    return localStorage.getItem("weir.theme") ?? "auto";
  } catch {
    return "auto";
  }
}

function applyTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const [sign, word] = THEMES[name].split(" ");
  replace($("theme"), sign);
  $("theme").setAttribute("aria-label", `Colours: ${word}`);
  $("theme").title = `Colours: ${word} (t)`;
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(readTheme()) + 1) % names.length];
  try {
    localStorage.setItem("weir.theme", next);
  } catch {
    // kept for this page only
  }
  applyTheme(next);
}

// Token -------------------------------------------------------------------------------------------------

let asking = null;

function askForToken() {
  if (asking) return;
  const field = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false" });
  asking = dialog.open("A token is needed", [
    h("p", {}, token.get() ? "The host does not know this token; it may have been started anew." : "This host answers only with a token."),
    h("p", {}, h("code", {}, "weir dev"), " prints the console's address with a token for this machine in it: open that address again, ",
      "or put a token here. The owner of the host makes them: ", h("code", {}, "weir token NAME --role admin"), "."),
    h("div", { class: "field" }, h("label", { for: "token" }, "Token"), field),
  ], [{ label: "Use it", kind: "main", does() {
    if (!field.value.trim()) throw new Error("a token expected; it begins with weir_");
    token.set(field.value);
    setTimeout(begin, 0);
  } }]);
  asking.node.addEventListener("close", () => { asking = null; });
}

// The host ----------------------------------------------------------------------------------------------

const STATES = { live: ["●", "live"], broken: ["◌", "not connected; trying again"], ended: ["○", "not connected"] };

function showState(state) {
  const [sign, text] = STATES[state];
  replace($("live"), sign);
  $("live").className = `live is-${state}`;
  $("live").title = text;
  $("live").setAttribute("aria-label", text);
  if (state === "live") checkVersion();
}

let edition = null;

// The host says by which edition of the console it would be served now.
const checkVersion = calm(2000, async () => {
  try {
    const response = await fetch("/console/edition", { cache: "no-store", credentials: "omit" });
    if (!response.ok) return;
    const now = (await response.text()).trim();
    edition ??= now;
    if (now !== edition) {
      replace($("bar"), "The host is a newer one than this page. ", h("button", { type: "button", onclick: () => location.reload() }, "Reload the page"));
      $("bar").hidden = false;
    }
  } catch {
    // Not reached: the sign beside the colours says so.
  }
});

async function countApprovals() {
  const link = $("nav").querySelector("[data-page=approvals]");
  try {
    const { items, next } = await api.get(["approvals"], { limit: 100 });
    const badge = link.querySelector(".badge");
    badge.hidden = items.length === 0;
    badge.textContent = next ? `${items.length}+` : items.length;
  } catch {
    // The page itself says what is wrong.
  }
}

const countSoon = calm(700, countApprovals);

function begin() {
  if (asking) asking.close();
  events.restart();
  if (open && open.close) open.close();
  open = null;
  show();
  countSoon();
}

function start() {
  token.takeFromAddress();
  applyTheme(readTheme());
  replace($("nav"), PAGES.map((page) => h("a", { href: router.address([page.name]), "data-page": page.name, "aria-keyshortcuts": `g ${page.key}` },
    page.label, page.name === "approvals" && h("span", { class: "badge", hidden: true, "aria-label": "open" }))));
  $("theme").addEventListener("click", nextTheme);
  $("help").addEventListener("click", listKeys);
  keys.listen(GLOBAL);
  api.on("denied", askForToken);
  api.on("odd", checkVersion);
  window.addEventListener("hashchange", () => {
    if (/[#&]token=/.test(location.hash)) {
      token.takeFromAddress();
      return begin();
    }
    return show();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) checkVersion();
  });
  show();
  events.watch(showState);
  events.subscribe(({ kind }) => {
    if (kind !== "reload" && kind !== "reload_failed") countSoon();
  });
  checkVersion();
  if (!token.get()) askForToken();
}

start();
