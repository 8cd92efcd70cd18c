// router.js - which page the address means. The address is `#/PAGE/PART...?FILTERS`; filters stand in it, so that a
// view can be sent to somebody else.

/** The place that the address says: {page, parts, query}. */
export function here() {
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { page: parts[0] ?? "runs", parts: parts.slice(1), query: Object.fromEntries(new URLSearchParams(search ?? "")) };
}

/** The address of a place. */
export function address(parts, query) {
  const kept = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(kept).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${search ? `?${search}` : ""}`;
}

export function go(parts, query) {
  location.hash = address(parts, query);
}

/** Changes the filters in the address without a new entry in the history; the page is told as of any change. */
export function filter(changes) {
  const { page, parts, query } = here();
  history.replaceState(null, "", address([page, ...parts], { ...query, ...changes }));
  window.dispatchEvent(new Event("hashchange"));
}
