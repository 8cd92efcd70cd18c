--- The one JSON Schema (2020-12) of the normal form, the order in which its fields are written, and
--- what else the loader has to know of it. `weir schema` prints `form.schema()`. Where the normal form
--- knows one shape only: `critic.use` is a list of `{use, options}`; `judge`, `planner`, `reflect`,
--- `queue.policy` and each of `supervise` are `{use, options}`; `chunk`, `reduce`, `undo` are
--- `{agent, options, ...}`; `from` is a list of names or `{steps, merge}`. Pure; never yields.

local duration = require "weir.duration"
local json = require "weir.native.json"
local schema = require "weir.schema"
local value_of = require "weir.value"

local M = {}

local list = json.list

local NAME, LONGEST_NAME = "^[a-z][a-z0-9_]*$", 64 -- apart, since a repetition that counts is large as an automaton
local NAME_SAYS = "must be a name: a lower-case letter, then lower-case letters, digits or '_', 64 in all at most"

-- Small schemas. Each call gives a new table, so that the printed schema shares nothing.
local function ref(name) return { ["$ref"] = "#/$defs/" .. name } end
local function text(doc) return { type = "string", minLength = 1, description = doc } end
local function flag(doc) return { type = "boolean", description = doc } end
local function count(least, doc) return { type = "integer", minimum = least, description = doc } end
local function amount(least, doc) return { type = "number", minimum = least, description = doc } end
local function many(items, doc) return { type = "array", items = items, minItems = 1, description = doc } end
local function one_of(...) return { enum = list { ... } } end
local function anything(doc) return { description = doc } end
local function condition(doc) return { type = "string", minLength = 1, description = doc } end

-- An object from {name, schema} pairs, in the order in which they are written.
local function object(pairs_in_order, required, more)
  local result = { type = "object", properties = {}, additionalProperties = false }
  local order = {}
  for index, pair in ipairs(pairs_in_order) do
    order[index] = pair[1]
    result.properties[pair[1]] = pair[2]
  end
  if required then result.required = list(required) end
  for key, value in pairs(more or {}) do result[key] = value end
  return result, order
end

local function either(...)
  return { anyOf = list { ... } }
end

local function exactly_one(names)
  local alternatives = {}
  for index, name in ipairs(names) do alternatives[index] = { required = list { name } } end
  return list(alternatives)
end

M.kinds = { "agent", "pipeline", "groups", "approval", "wait", "sleep", "map", "speculate", "plan" }

M.is_kind = {}
for _, kind in ipairs(M.kinds) do M.is_kind[kind] = true end

local order = {} -- per $def: its fields as they are written
local defs = {}

local function define(name, pairs_in_order, required, more)
  defs[name], order[name] = object(pairs_in_order, required, more)
end

defs.name = { type = "string", maxLength = LONGEST_NAME, pattern = NAME, errorMessage = NAME_SAYS }
defs.module = { type = "string", maxLength = LONGEST_NAME, pattern = NAME, errorMessage = NAME_SAYS }
defs.pipeline_name = {
  type = "string", maxLength = LONGEST_NAME, pattern = "^[a-z][a-z0-9_-]*$",
  errorMessage = "must be a name: a lower-case letter, then lower-case letters, digits, '_' or '-', 64 in all at most",
}
defs.duration = {
  type = list { "number", "string" }, minimum = 0, pattern = duration.pattern,
  errorMessage = "must be " .. duration.expected,
}
defs.options = { type = "object", description = "checked against what the module declares" }

define("use", {
  { "use", ref "module" }, { "options", ref "options" },
}, { "use" })

define("quorum", { { "weight", count(1, "that suffices, of all who approve together") },
  { "weights", { type = "object", minProperties = 1, additionalProperties = count(1),
    description = "by person or group; 1 for all others" } },
}, { "weight" })

define("rung", {
  { "after", ref "duration" }, { "to", many(text "a person or group") },
  { "instead", flag "of those before, not as well" },
}, { "to" })

define("working", {
  { "hours", either(text "such as 09:00-17:00", many(text())) }, { "calendar", anything "as of a schedule" },
  { "tz", text "such as Europe/Berlin; UTC" },
})

define("precondition", { { "agent", ref "module" }, { "options", ref "options" }, { "input", anything() } }, { "agent" })

local approval_fields = {
  { "title", text "what is asked; text with ${paths}" }, { "show", anything "what the person sees; a value" },
  { "form", { type = list { "object", "boolean" }, description = "JSON Schema of the answer" } },
  { "who", many(text "a person or group") }, { "not_initiator", flag() }, { "quorum", either(count(1), ref "quorum") },
  { "on_reject", one_of("fail", "continue") }, { "on_timeout", one_of("reject", "approve", "fail", "escalate") },
  { "remind", either(ref "duration", many(ref "duration", "since it was asked")) }, { "escalate", many(ref "rung") },
  { "working", ref "working" }, { "precondition", ref "precondition" },
}
define("approval", approval_fields)

local gate_fields = { table.unpack(approval_fields) }
gate_fields[#gate_fields + 1] = { "timeout", ref "duration" }
define("gate", gate_fields)

define("wait", {
  { "signal", text() }, { "event", text() }, { "match", condition "on the event" },
  { "any", many(ref "wait") }, { "all", many(ref "wait") }, { "at_least", count(1) }, { "of", many(ref "wait") },
}, nil, {
  oneOf = exactly_one { "signal", "event", "any", "all", "of" },
  dependentRequired = { match = list { "event" }, at_least = list { "of" }, of = list { "at_least" } },
})

define("until_time", { { "until", text "a time (RFC 3339), or a path to one" } }, { "until" })
define("limits", { { "min", count(1) }, { "max", count(1) } })

define("chunk", {
  { "agent", ref "module" }, { "options", ref "options" },
  { "stream", flag "items are mapped as the agent emits them, and are not kept" },
}, { "agent" })

define("reduce", {
  { "agent", ref "module" }, { "options", ref "options" },
  { "mode", one_of("all", "fold", "tree") }, { "arity", count(2) },
}, { "agent" })

define("map", {
  { "over", anything "a path to a list, or a list; with `chunk` its input" }, { "chunk", ref "chunk" }, { "batch", count(1) },
  { "concurrency", either(count(1), ref "limits") }, { "ordered", flag() },
  { "tolerate", either(count(0), { type = "string", pattern = "^(100|[0-9]{1,2})(\\.[0-9]+)?%$",
    errorMessage = "must be a number of failures, or a share such as \"5%\"" }) },
  { "until", condition "ends the map early" },
  { "hedge", either({ const = "p95" }, ref "duration") },
  { "memo", { allOf = list { ref "duration" }, description = "for how long outputs are remembered by version, options and input" } },
  { "each", ref "step" }, { "reduce", ref "reduce" },
}, { "each" })
defs.map.properties.hedge.errorMessage = "must be p95, or " .. duration.expected

define("at_least", { { "at_least", count(1) } }, { "at_least" })
define("by_deadline", { { "deadline", ref "duration" } }, { "deadline" })

define("speculate", {
  { "branches", many(ref "step") }, { "judge", ref "use" },
  { "join", either(one_of("best", "first"), ref "at_least", ref "by_deadline") },
  { "hedge", either({ const = "p95" }, ref "duration") },
  { "halve", count(1, "items of their streams after which the worse half is dropped; then after twice as many, and so on") },
}, { "branches" })
defs.speculate.properties.join.errorMessage = "must be best, first, {at_least} or {deadline}"
defs.speculate.properties.hedge.errorMessage = "must be p95, or " .. duration.expected

define("plan_limits", { { "steps", count(1) }, { "depth", count(1) }, { "usd", amount(0) }, { "seconds", amount(0) } })
define("plan", {
  { "goal", anything "a value: text, or what the planner takes" }, { "planner", ref "use" },
  { "agents", many(ref "module") },
  { "limits", ref "plan_limits" }, { "sign_off", either({ type = "boolean" }, ref "approval") }, { "replan", count(0) },
  { "reuse", one_of("similar", "same", "never") },
}, { "goal" })

define("retry", {
  { "attempts", count(1, "the first one counts too") }, { "backoff", ref "duration" }, { "factor", amount(1) },
  { "max", ref "duration" }, { "jitter", { type = "number", minimum = 0, maximum = 1 } },
  { "on", many(ref "code") }, { "not_on", many(ref "code") },
})
defs.code = one_of("full", "empty", "closed", "timeout", "cancelled", "invalid", "failed", "rejected", "limit",
  "not_found", "conflict", "denied", "unavailable", "corrupt", "memory")

define("critic_use", {
  { "use", ref "module" }, { "options", ref "options" },
  { "weight", { type = "number", exclusiveMinimum = 0, description = "of its approval in a panel, 1 if nothing is said" } },
  { "veto", flag "a panel does not approve without it" },
  { "model", text "that it asks, if it asks one" },
}, { "use" })

define("critic_ask", {
  { "who", many(text "a person or group") }, { "not_initiator", flag() }, { "quorum", count(1) }, { "timeout", ref "duration" },
  { "on_timeout", one_of("reject", "approve", "fail") },
})

define("live", {
  { "every", count(1, "bytes of text or items after which the critic looks again") },
  { "expect", count(1, "tokens of a whole draft; measured if nothing is said") },
})

define("critic", {
  { "use", many(ref "critic_use") },
  { "quorum", { type = "number", exclusiveMinimum = 0, description = "all are asked; approvals that suffice, by weight" } },
  { "disagreement", { type = "number", minimum = 0, maximum = 1, description = "of the scores of a panel, above which a person decides" } },
  { "attempts", count(1, "drafts") },
  { "budget", count(0, "drafts that may be refused here and by critics inside, together") },
  { "otherwise", one_of("escalate", "fail", "accept_best") }, { "ask", ref "critic_ask" },
  { "live", either({ type = "boolean" }, ref "live") },
}, { "use" })

define("undo", { { "agent", ref "module" }, { "options", ref "options" }, { "input", anything() } }, { "agent" })

define("model", {
  { "policy", ref "module" }, { "options", ref "options" }, { "candidates", many(text()) }, { "needs", many(text()) },
})

define("tool", {
  { "use", text "agents/NAME, pipelines/NAME, mcp/SERVER/TOOL" }, { "name", text "as the model sees it" }, { "options", ref "options" },
  { "approve_if", condition "on its arguments: asks before it is called" }, { "sticky", flag "one yes is enough for the run" },
  { "has_consequences", flag() }, { "is_trusted", flag() }, { "description", text() },
}, { "use" })

define("stream", {
  { "buffer", count(1, "items") }, { "on_full", one_of("wait", "drop_oldest", "drop_newest", "latest", "spill") },
  { "rate", { type = "number", exclusiveMinimum = 0, description = "items per second" } },
})

define("from", { { "steps", many(ref "name") }, { "merge", one_of("arrival", "order", "zip") } }, { "steps" })

define("post", {
  { "name", text "text with ${paths}" }, { "type", text() }, { "tags", many(text()) },
  { "scope", one_of("run", "pipeline", "project") }, { "merge", one_of("append", "counter", "set", "text") },
  { "arbiter", ref "module" },
}, { "name" })

define("step_budget", { { "tokens", count(1) }, { "usd", amount(0) } }, nil, { minProperties = 1 })

define("step", {
  { "name", ref "name" }, { "agent", ref "module" }, { "pipeline", ref "pipeline_name" },
  { "approval", ref "approval" },
  { "wait", ref "wait" }, { "sleep", either(ref "duration", ref "until_time", ref "path") }, { "map", ref "map" },
  { "speculate", ref "speculate" }, { "plan", ref "plan" },
  { "options", ref "options" }, { "input", anything "values, \"$.path\", \"text with ${path}\"" },
  { "from", either(many(ref "name"), ref "from") }, { "when", condition "else the step is skipped" },
  { "approve_if", condition "asks before the step runs" }, { "retry", ref "retry" },
  { "timeout", ref "duration" }, { "idle_timeout", ref "duration" }, { "deadline", ref "duration" },
  { "budget", ref "step_budget" }, { "priority", one_of("high", "normal", "low") },
  { "critic", ref "critic" }, { "branch_label", text "a value, read after the step" }, { "optional", flag() },
  { "once", flag "never started twice" }, { "undo", ref "undo" }, { "model", either(text(), ref "model") },
  { "tools", many(ref "tool") }, { "stream", either({ type = "boolean" }, ref "stream") },
  { "post", either(text(), ref "post") }, { "cache", ref "duration" },
  { "groups", many(ref "group") }, { "output", anything "of its groups" },
}, { "name" }, { oneOf = exactly_one(M.kinds), dependentRequired = { output = list { "groups" } } })
defs.path = { type = "string", pattern = "^\\$[.\\[]" }
defs.step.properties.sleep.errorMessage = "must be a duration such as 30s or 2h, {until: time}, or a path"

define("branch", {
  { "on", ref "name" }, { "cases", { type = "object", additionalProperties = ref "name", minProperties = 1 } },
  { "default", ref "name" }, { "failed", ref "name" }, { "max_visits", count(1) },
})

define("group", {
  { "name", ref "name" }, { "join", either(one_of("all", "any", "first"), ref "at_least", ref "by_deadline") },
  { "fail_fast", flag() }, { "steps", many(ref "step") }, { "branch", ref "branch" }, { "gate", ref "gate" },
}, { "name", "steps" })
defs.group.properties.join.errorMessage = "must be all, any, first, {at_least} or {deadline}"

-- How the events of a source become runs: whose key decides, and in what time.
local function per_key(name, pairs_in_order, required)
  define(name, pairs_in_order, required)
  return ref(name)
end

local key_value = { type = "string", minLength = 1, description = "a value of the event: which are of one kind" }
local dedupe = per_key("dedupe", { { "key", key_value }, { "for", ref "duration" } }, { "key" })
local debounce = per_key("debounce", { { "for", ref "duration" }, { "key", key_value }, { "max", ref "duration" } }, { "for" })
local throttle = per_key("throttle", { { "limit", count(1) }, { "per", ref "duration" }, { "key", key_value },
  { "otherwise", one_of("wait", "drop") } }, { "per" })
local batch = per_key("batch", { { "size", { type = "integer", minimum = 1, maximum = 1000 } }, { "for", ref "duration" },
  { "key", key_value } }, { "size" })

local TRIGGER_FIELDS = {
  { "input", anything "the run's initial input; a value" }, { "name", ref "name" },
  { "filter", condition "on the event" },
  { "key", text "a value: events of one key start runs one after the other" },
  { "dedupe", either(ref "duration", dedupe) }, { "debounce", either(ref "duration", debounce) },
  { "throttle", either(ref "duration", throttle) }, { "batch", either({ type = "integer", minimum = 1, maximum = 1000 }, batch) },
  { "singleton", either({ const = true }, key_value) }, { "concurrency", count(1, "runs of this trigger at a time") },
}
define("trigger", TRIGGER_FIELDS, nil, {
  additionalProperties = { type = "object", description = "the watcher's options, under its name" },
})

define("queue", {
  { "limit", count(1) }, { "concurrency", count(1) }, { "key", text() }, { "policy", ref "use" },
  { "priority", either({ type = "number" }, text "a value") }, { "overflow", one_of("reject", "wait", "drop_oldest", "spill") },
})

define("budget", {
  { "tokens", count(1) }, { "usd", amount(0) }, { "seconds", amount(0) }, { "steps", count(1) },
  { "otherwise", one_of("fail", "pause", "ask") },
})

define("reflect_limits", {
  { "usd", amount(0) }, { "tokens", count(1) }, { "seconds", amount(0) }, { "steps", count(1, "of all trials") },
  { "changes", count(1, "operations of a patch, or lines of a source") },
  { "bytes", count(1, "of a patch, or of what changes in a source") },
}, nil, { minProperties = 1 })

local function share(doc) return { type = "number", minimum = 0, maximum = 1, description = doc } end

define("reflect", {
  { "use", ref "module" }, { "options", ref "options" },
  { "metric", either(text "a path to a number below $.output, $.input or $.usage", ref "use") }, { "better", one_of("higher", "lower") },
  { "iterations", count(1, "candidates after one run") }, { "patience", count(1, "candidates one after the other that are not kept") },
  { "margin", amount(0, "by which share a candidate has to be better") },
  { "holdout", share "of the inputs, which the reflection never sees" },
  { "examples", { type = "array", items = { type = "object" }, description = "inputs to measure on, besides those of earlier runs" } },
  { "recorded", count(0, "inputs of earlier runs to measure on") },
  { "approve", one_of("human", "auto") }, { "who", many(text "a person or group") },
  { "canary", { type = "number", exclusiveMinimum = 0, maximum = 100,
    description = "percent of the runs that have what was found better, until a policy promotes it or rolls it back" } },
  { "protect", many(ref "name", "steps and groups that no reflection may change") }, { "limits", ref "reflect_limits" },
}, { "use" })

define("pipeline", {
  { "weir", { const = 1, errorMessage = "must be 1, the format this weir reads" } }, { "name", ref "pipeline_name" },
  { "doc", { type = "string" } }, { "input", { type = "object", description = "a JSON Schema" } },
  { "on", many(ref "trigger") }, { "queue", ref "queue" }, { "budget", ref "budget" },
  { "durability", one_of("step", "group", "none") }, { "upgrade", one_of("pin", "next_step", "restart") },
  { "on_disconnect", one_of("go_on", "cancel") },
  { "retention", ref "duration" }, { "supervise", many(ref "use") }, { "reflect", ref "reflect" },
  { "groups", many(ref "group", "a flow has none") }, { "output", anything() },
}, { "weir", "name" })

M.is_step_field = {}
for name in pairs(defs.step.properties) do M.is_step_field[name] = name ~= "name" or nil end

M.is_trigger_field = {}
for _, pair in ipairs(TRIGGER_FIELDS) do M.is_trigger_field[pair[1]] = true end

--- The fields of each object of the normal form (by its name among the schema's `$defs`) in the order
--- in which they are written.
---@type table<string, string[]>
M.order = order

local function target(inner)
  if type(inner) ~= "table" then return nil end
  if inner["$ref"] then
    local name = inner["$ref"]:match("([^/]+)$")
    return order[name] and name
  end
  if inner.items then return target(inner.items) end
  for _, alternative in ipairs(inner.anyOf or {}) do
    local name = target(alternative)
    if name then return name end
  end
end

--- Which of the schema's `$defs` says what stands in a field, or in the items of the list in it.
---@param def string|nil
---@param field string
---@return string|nil  nil where fields have no order
function M.child(def, field)
  return def and target(defs[def].properties[field])
end

-- The same with some fields changed; what lies deeper is shared.
local function with(object_of, fields)
  local result = {}
  for key, value in pairs(object_of) do result[key] = value end
  for key, value in pairs(fields) do result[key] = value end
  return result
end

-- A file may name this schema, for its editor; the normal form leaves that out.
local function pipeline_schema()
  local others = with(defs, {})
  others.pipeline = nil
  return with(defs.pipeline, { ["$schema"] = "https://json-schema.org/draft/2020-12/schema",
    properties = with(defs.pipeline.properties, { ["$schema"] = { type = "string" } }),
    title = "weir pipeline, normal form, format 1", ["$defs"] = others })
end

--- The JSON Schema of the normal form, as plain data.
---@return table
function M.schema()
  return value_of.copy(pipeline_schema())
end

-- In a flow a step may be a function, and values are taken as they are.
local function flow_schema(entry)
  local step = with(defs.step, { properties = with(defs.step.properties, { run = {} }),
    oneOf = exactly_one { "run", table.unpack(M.kinds) } })
  local others = with(defs, { step = step, map = with(defs.map, { required = list { "each" } }) })
  others.pipeline = nil
  return { ["$ref"] = "#/$defs/" .. entry, ["$defs"] = others }
end

local function lazily(make)
  local validate
  return function(value)
    validate = validate or assert(schema.compile(make(), { trusted = true }))
    return validate(value)
  end
end

--- Validate a whole normal form, one step of a flow, or one group of a flow.
---@type weir.Validator
M.validate = lazily(pipeline_schema)
---@type weir.Validator
M.validate_flow_step = lazily(function() return flow_schema "step" end)
---@type weir.Validator
M.validate_flow_group = lazily(function() return flow_schema "group" end)

return M
