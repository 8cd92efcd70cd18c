// diff.js - what differs between two texts, line by line (Myers, "An O(ND) Difference Algorithm and Its Variations", 1986).

import { h, visible } from "./dom.js";

const DEEPEST = 2000; // differences beyond which everything counts as changed

function path(a, b) {
  const most = Math.min(DEEPEST, a.length + b.length);
  const reach = new Map([[1, 0]]);
  const trace = [];
  for (let d = 0; d <= most; d += 1) {
    trace.push(new Map(reach));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
      let x = down ? reach.get(k + 1) ?? 0 : (reach.get(k - 1) ?? 0) + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) {
        x += 1;
        y += 1;
      }
      reach.set(k, x);
      if (x >= a.length && y >= b.length) return { trace, d };
    }
  }
  return null;
}

/** The lines of both: {sign: " ", "-" or "+", text}. */
export function lines(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  const found = path(a, b);
  if (!found) return [...a.map((text) => ({ sign: "-", text })), ...b.map((text) => ({ sign: "+", text }))];
  const result = [];
  let x = a.length;
  let y = b.length;
  for (let d = found.d; d >= 0; d -= 1) {
    const reach = found.trace[d];
    const k = x - y;
    const down = k === -d || (k !== d && (reach.get(k - 1) ?? -1) < (reach.get(k + 1) ?? -1));
    const fromK = down ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : reach.get(fromK) ?? 0;
    const fromY = d === 0 ? 0 : fromX - fromK;
    while (x > fromX && y > fromY && x > 0 && y > 0 && a[x - 1] === b[y - 1]) {
      result.push({ sign: " ", text: a[x - 1] });
      x -= 1;
      y -= 1;
    }
    if (d === 0) break;
    if (down) {
      result.push({ sign: "+", text: b[y - 1] });
      y -= 1;
    } else {
      result.push({ sign: "-", text: a[x - 1] });
      x -= 1;
    }
  }
  return result.reverse();
}

const CONTEXT = 3;

/** The difference as elements; what is equal is left out but for three lines around each change. */
export function view(before, after) {
  const all = lines(before, after);
  const near = new Set();
  all.forEach((line, at) => {
    if (line.sign !== " ") for (let i = at - CONTEXT; i <= at + CONTEXT; i += 1) near.add(i);
  });
  if (near.size === 0) return h("p", { class: "hint" }, "Both say the same.");
  const box = h("div", { class: "diff", role: "list" });
  let wasLeftOut = false;
  all.forEach((line, at) => {
    if (!near.has(at)) {
      if (!wasLeftOut) box.append(h("div", { class: "left-out" }, "⋯"));
      wasLeftOut = true;
      return;
    }
    wasLeftOut = false;
    const kind = { "+": "added", "-": "removed", " ": "same" }[line.sign];
    box.append(h("div", { class: kind, role: "listitem" }, `${line.sign} ${visible(line.text)}`));
  });
  return box;
}
