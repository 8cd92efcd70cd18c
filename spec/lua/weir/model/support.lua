--- What the specs of routing share: a clock and draws of their own, models that are scripted, and choices among them.

local native = require "weir.native.scheduler"
local route = require "weir.model.route"
local schema = require "weir.schema"
local task = require "weir.task"
local testing = require "weir.testing"

local M = {}

--- Draws that are the same each time.
---@param seed integer
---@return fun(): number
function M.draws(seed)
  local state = seed
  return function()
    state = (state * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
    return (state >> 11) / 2 ^ 52
  end
end

local policies = {}

--- A policy as a choice has it.
---@param name string
---@param options table|nil
function M.policy(name, options)
  policies[name] = policies[name] or testing.module("policies/" .. name)
  local module = policies[name]
  local declared = assert(schema.object(module.options or {}))
  return { name = name, module = module, state = module.setup and module.setup(schema.defaults(declared, options or {}), nil) }
end

--- Runs a body on a virtual clock, with whatever it starts.
---@param body fun()
function M.virtually(body)
  local was_virtual = native.is_virtual()
  if not was_virtual then native.use_virtual_clock(1) end
  local ok, err = task.within({}, body)
  if not was_virtual then native.use_real_clock() end
  if not ok then error(err, 0) end
end

--- Models by name: what a call of each does, a function of (request, emit, candidate), or a list of them for the calls in turn.
---@return fun(candidate: table, request: table, emit: function): ...
---@return table<string, integer> calls
function M.models(scripts)
  local calls = {}
  return function(candidate, request, emit)
    local name = candidate.name
    calls[name] = (calls[name] or 0) + 1
    local script = scripts[name]
    if type(script) == "table" then script = script[math.min(calls[name], #script)] end
    return script(request, emit, candidate)
  end, calls
end

--- A call that answers after some seconds.
function M.answers(text, seconds)
  return function(_, emit)
    task.sleep(seconds or 0)
    emit { text = text }
    return { message = { role = "assistant", content = text }, finish = "stop", usage = { input_tokens = 100, output_tokens = 50 } }
  end
end

--- A call that is refused after some seconds.
function M.refuses(class, fields, seconds)
  return function()
    task.sleep(seconds or 0)
    local detail = { class = class }
    for name, value in pairs(fields or {}) do detail[name] = value end
    return nil, class .. " it is", detail.code or "unavailable", detail
  end
end

--- A choice among models.
---@param names string[]
---@param fields table|nil over what a choice has
function M.choice(names, fields)
  local candidates = {}
  for index, name in ipairs(names) do candidates[index] = type(name) == "table" and name or { name = name, module = "scripted" } end
  local choice = { candidates = candidates, policy = M.policy "ordered", texts = {}, decisions = {} }
  choice.emit = function(delta) choice.texts[#choice.texts + 1] = delta.text end
  choice.on_choice = function(decision) choice.decisions[#choice.decisions + 1] = decision end
  for name, value in pairs(fields or {}) do choice[name] = value end
  choice.router = choice.router or route.new(nil, { draw = M.draws(1) })
  return choice
end

return M
