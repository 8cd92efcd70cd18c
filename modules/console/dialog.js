// dialog.js - questions in front of the page, with the browser's own dialog: it keeps the focus and closes with Escape.

import { $, h, replace } from "./dom.js";

const MOST = 3; // lines at once
let count = 0;

/**
 * Opens a dialog. buttons: {label, kind, does}: `does` may wait; false from it, or an error, keeps the dialog open and
 * shows the error. Gives {node, close, fail}.
 */
export function open(title, body, buttons = []) {
  count += 1;
  const id = `dialog-${count}`;
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const opener = document.activeElement;
  const node = h("dialog", { "aria-labelledby": id });
  const close = () => node.close();
  const fail = (error) => {
    problem.hidden = false;
    replace(problem, `✗ ${error.message}`);
  };
  async function press(one, button) {
    button.disabled = true;
    try {
      if (!one.does || (await one.does()) !== false) close();
    } catch (error) {
      fail(error);
    } finally {
      button.disabled = false;
    }
  }
  const made = buttons.map((one, index) => {
    const button = h("button", { type: index === 0 ? "submit" : "button", class: one.kind }, one.label);
    if (index > 0) button.addEventListener("click", () => press(one, button));
    return button;
  });
  const form = h("form", { method: "dialog", onsubmit(event) {
    event.preventDefault();
    if (buttons[0]) press(buttons[0], made[0]);
  } }, h("h2", { id }, title), body, problem, h("div", { class: "buttons" }, made, h("button", { type: "button", onclick: close }, "Close")));
  node.append(form);
  node.addEventListener("close", () => {
    node.remove();
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
  });
  document.body.append(node);
  node.showModal();
  return { node, close, fail };
}

/** A line that goes away by itself; `kind` is "good", "bad" or nothing. */
export function toast(text, kind) {
  const sign = { good: "✓ ", bad: "✗ " }[kind] ?? "";
  const line = h("p", { class: `toast ${kind ?? ""}` }, sign + text);
  $("toasts").append(line);
  while ($("toasts").childElementCount > MOST) $("toasts").firstElementChild.remove();
  setTimeout(() => line.remove(), kind === "bad" ? 9000 : 5000);
}

/** Does something and says what came of it. */
export async function attempt(does, says) {
  try {
    const result = await does();
    if (says) toast(says, "good");
    return result;
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message, "bad");
    return undefined;
  }
}
