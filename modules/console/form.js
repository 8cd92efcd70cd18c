// form.js - a form made of a JSON Schema, and the value that it holds. What a schema says beyond the usual (types, choices,
// bounds, lists, objects) is entered as JSON; the host checks everything again.

import { h } from "./dom.js";

let count = 0;
const nextId = () => `field-${(count += 1)}`;

class Wrong extends Error {}

function typeOf(schema) {
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  if (type) return type;
  if (schema.properties) return "object";
  if (schema.enum) return "enum";
  return "any";
}

function deref(schema, root) {
  let found = schema === true || schema === undefined ? {} : schema;
  for (let depth = 0; depth < 8 && typeof found.$ref === "string" && found.$ref.startsWith("#/"); depth += 1) {
    const place = found.$ref.slice(2).split("/").reduce((at, part) => at?.[part.replace(/~1/g, "/").replace(/~0/g, "~")], root);
    if (!place) break;
    found = place;
  }
  return found;
}

// One field: {node, read() -> value or undefined, write(value), problem(text)}. Reading raises Wrong.
function labelled(name, schema, isRequired, input, below) {
  const id = input.id || (input.id = nextId());
  const problem = h("span", { class: "problem", id: `${id}-problem`, role: "alert" });
  const help = schema.description && h("span", { class: "hint", id: `${id}-help` }, schema.description);
  input.setAttribute("aria-describedby", `${id}-problem${help ? ` ${id}-help` : ""}`);
  if (isRequired) input.setAttribute("aria-required", "true");
  const title = schema.title ?? name;
  const label = h("label", { for: id }, title, isRequired && h("span", { class: "needed", title: "needed" }, " *"));
  const node = h("div", { class: "field" }, below ? [input, label] : [label, input], help, problem);
  if (below) node.classList.add("check");
  return { node, say(text) {
    problem.textContent = text ? `✗ ${text}` : "";
    input.toggleAttribute("aria-invalid", Boolean(text));
  } };
}

function choice(name, schema, isRequired) {
  const select = h("select", {}, !isRequired && h("option", { value: "" }, "–"),
    schema.enum.map((one, index) => h("option", { value: String(index) }, typeof one === "string" ? one : JSON.stringify(one))));
  const field = labelled(name, schema, isRequired, select);
  const write = (value) => { select.value = String(schema.enum.findIndex((one) => JSON.stringify(one) === JSON.stringify(value))); };
  if (schema.default !== undefined) write(schema.default);
  return { ...field, write, read: () => (select.value === "" || select.value === "-1" ? undefined : schema.enum[Number(select.value)]) };
}

function flag(name, schema) {
  const box = h("input", { type: "checkbox", checked: schema.default === true });
  const field = labelled(name, schema, false, box, true);
  return { ...field, write: (value) => { box.checked = value === true; }, read: () => box.checked };
}

function bounds(schema, value) {
  if (schema.minimum !== undefined && value < schema.minimum) throw new Wrong(`at least ${schema.minimum} expected`);
  if (schema.maximum !== undefined && value > schema.maximum) throw new Wrong(`at most ${schema.maximum} expected`);
}

function amount(name, schema, isRequired, isInteger) {
  const input = h("input", { type: "text", inputmode: isInteger ? "numeric" : "decimal", autocomplete: "off", class: "short" });
  const field = labelled(name, schema, isRequired, input);
  const write = (value) => { input.value = value === undefined || value === null ? "" : String(value); };
  write(schema.default);
  return { ...field, write, read() {
    const text = input.value.trim();
    if (text === "") return undefined;
    const value = Number(text);
    if (Number.isNaN(value) || (isInteger && !Number.isInteger(value))) throw new Wrong(isInteger ? "a whole number expected" : "a number expected");
    bounds(schema, value);
    return value;
  } };
}

function grow(area) {
  const fit = () => { area.rows = Math.max(1, Math.min(16, area.value.split("\n").length)); };
  area.addEventListener("input", fit);
  return fit;
}

function text(name, schema, isRequired) {
  const area = h("textarea", { rows: 1, spellcheck: "false" });
  const fit = grow(area);
  const field = labelled(name, schema, isRequired, area);
  let touched = false;
  area.addEventListener("input", () => { touched = true; });
  const write = (value) => {
    area.value = value ?? "";
    touched = value !== undefined && value !== null;
    fit();
  };
  write(schema.default);
  return { ...field, write, read() {
    if (area.value === "" && !(touched && isRequired && !schema.minLength)) return isRequired && touched ? "" : undefined;
    if (schema.minLength && area.value.length < schema.minLength) throw new Wrong(`at least ${schema.minLength} characters expected`);
    if (schema.maxLength && area.value.length > schema.maxLength) throw new Wrong(`at most ${schema.maxLength} characters expected`);
    return area.value;
  } };
}

function free(name, schema, isRequired) {
  const area = h("textarea", { rows: 2, spellcheck: "false", class: "code", placeholder: "JSON" });
  const fit = grow(area);
  const field = labelled(name, schema, isRequired, area);
  const write = (value) => {
    area.value = value === undefined ? "" : JSON.stringify(value, null, 2);
    fit();
  };
  write(schema.default);
  return { ...field, write, read() {
    if (area.value.trim() === "") return undefined;
    try {
      return JSON.parse(area.value);
    } catch (error) {
      throw new Wrong(`this is not JSON: ${error.message}`);
    }
  } };
}

function list(name, schema, isRequired, root) {
  const rows = h("div", { class: "items" });
  const fields = [];
  const add = (value) => {
    const field = make("", deref(schema.items, root), false, root);
    if (value !== undefined) field.write(value);
    const row = h("div", { class: "item" }, field.node, h("button", { type: "button", class: "quiet", "aria-label": "Remove", onclick() {
      fields.splice(fields.indexOf(field), 1);
      row.remove();
    } }, "×"));
    fields.push(field);
    rows.append(row);
  };
  const field = { say(message) { problem.textContent = message ? `✗ ${message}` : ""; } };
  const problem = h("span", { class: "problem", role: "alert" });
  const node = h("fieldset", { class: "field" }, h("legend", {}, schema.title ?? name, isRequired && h("span", { class: "needed" }, " *")),
    schema.description && h("span", { class: "hint" }, schema.description), rows,
    h("button", { type: "button", class: "link", onclick: () => add() }, "+ one more"), problem);
  const write = (value) => {
    rows.replaceChildren();
    fields.length = 0;
    for (const one of value ?? []) add(one);
  };
  write(schema.default);
  return { ...field, node, write, read() {
    const values = fields.map((one) => one.read()).filter((value) => value !== undefined);
    return values.length === 0 && !isRequired ? undefined : values;
  } };
}

function object(name, schema, isRequired, root, isTop) {
  const required = new Set(schema.required ?? []);
  const fields = {};
  const needed = ([key]) => (required.has(key) ? 0 : 1); // JSON keeps no order of its own: what is needed comes first
  for (const [key, one] of Object.entries(schema.properties ?? {}).sort((a, b) => needed(a) - needed(b))) {
    const found = deref(one, root);
    fields[key] = make(key, found, required.has(key) && found.default === undefined, root);
  }
  const nodes = Object.values(fields).map((field) => field.node);
  const node = isTop ? h("div", { class: "fields" }, nodes)
    : h("fieldset", { class: "field" }, h("legend", {}, schema.title ?? name), schema.description && h("span", { class: "hint" }, schema.description), nodes);
  return { node, fields, say() {},
    write(value) { for (const [key, field] of Object.entries(fields)) field.write(value?.[key]); },
    read() {
      const value = {};
      let wrong = null;
      for (const [key, field] of Object.entries(fields)) {
        try {
          const one = field.read();
          field.say("");
          if (one !== undefined) value[key] = one;
          else if (required.has(key) && deref(schema.properties[key], root).default === undefined) throw new Wrong("needed");
        } catch (error) {
          if (!(error instanceof Wrong)) throw error;
          field.say(error.message);
          wrong ??= error;
        }
      }
      if (wrong) throw wrong;
      return Object.keys(value).length === 0 && !isRequired && !isTop ? undefined : value;
    } };
}

function make(name, schema, isRequired, root, isTop) {
  const type = typeOf(schema);
  if (schema.enum) return choice(name, schema, isRequired);
  if (type === "boolean") return flag(name, schema);
  if (type === "integer" || type === "number") return amount(name, schema, isRequired, type === "integer");
  if (type === "string") return text(name, schema, isRequired);
  if (type === "array" && schema.items && !Array.isArray(schema.items)) return list(name, schema, isRequired, root);
  if (type === "object" && schema.properties && Object.keys(schema.properties).length > 0) return object(name, schema, isRequired, root, isTop);
  return free(name, schema, isRequired);
}

/**
 * A form. Gives {node, read(), write(value), refuse(errors)}: `read` gives the value, or null when fields do not fit,
 * which then say so; `refuse` shows what the host found ({path, message}) at its fields and gives what found none.
 */
export function of(schema, label = "value", isRequired = true) {
  const root = schema ?? {};
  const field = make(label, deref(root, root), isRequired, root, true);
  function read() {
    try {
      const value = field.read();
      field.say("");
      return { value };
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      if (!field.fields) field.say(error.message);
      const first = field.node.querySelector("[aria-invalid]");
      if (first) first.focus();
      return null;
    }
  }
  function refuse(errors) {
    return errors.filter(({ path, message }) => {
      const parts = String(path ?? "").split(/[.[\]]+/).filter(Boolean);
      const key = parts.find((part) => field.fields?.[part]);
      if (key) field.fields[key].say(message);
      return !key;
    });
  }
  const isEmpty = Boolean(field.fields) && Object.keys(field.fields).length === 0;
  return { node: field.node, read, write: field.write, refuse, isEmpty };
}
