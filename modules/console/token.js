// token.js - the bearer token: handed over in the fragment of the address (#token=...), which no server ever sees, taken
// out of the address at once, and kept for this tab only.

const NAME = "weir.token";

function keep(token) {
  try {
    sessionStorage.setItem(NAME, token);
  } catch {
    // A browser that keeps nothing: the token lives as long as the page.
  }
}

let current = null;

/** Takes a token out of the address, if there is one. Called once, before anything else. */
export function takeFromAddress() {
  const found = /^#(.*&)?token=([^&]+)/.exec(location.hash);
  if (!found) {
    try {
      current = sessionStorage.getItem(NAME);
    } catch {
      current = null;
    }
    return;
  }
  set(decodeURIComponent(found[2]));
  const to = /[#&]to=([^&]+)/.exec(location.hash);
  history.replaceState(null, "", to ? `#${decodeURIComponent(to[1])}` : "#/runs");
}

/** The token, or null. */
export const get = () => current;

/** Sets the token for this tab. */
export function set(token) {
  current = token.trim();
  keep(current);
}
