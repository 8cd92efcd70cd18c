--- What a pipeline says of a source of events, compiled: which events count, what becomes the input, which of them belong
--- together. Pure; does not wait.

local condition = require "weir.condition"
local duration = require "weir.duration"
local failure = require "weir.failure"
local form = require "weir.definition.form"
local json = require "weir.native.json"
local path = require "weir.path"
local value_of = require "weir.value"

local M = {}

local DEDUPE_S, BATCH_S = 604800, 5
local KEY_MAX = 512 -- bytes of a key

---@class weir.TriggerRules
---@field id string         PIPELINE/NAME: its offset and memory are kept under it
---@field pipeline string
---@field watcher string    name of the module
---@field options table     of the watcher, as the definition gives them
---@field filter nil|fun(root: table): boolean
---@field input fun(event: weir.Event): any
---@field key nil|fun(root: table): any
---@field dedupe nil|{ key: function|nil, seconds: number }
---@field debounce nil|{ key: function|nil, seconds: number, max: number|nil }
---@field throttle nil|{ key: function|nil, limit: integer, seconds: number, drops: boolean }
---@field batch nil|{ key: function|nil, size: integer, seconds: number }
---@field singleton nil|true|function
---@field concurrency integer|nil
---@field holds boolean     events meet in what is kept of a key: they are taken in one by one

local function must(value, message)
  if value == nil then failure.raise("invalid", "%s", message) end
  return value
end

local function seconds(value) return value ~= nil and must(duration.parse(value)) or nil end

local function evaluator(value) return value ~= nil and must(path.compile_value(value, value_of.copy)) or nil end

--- What a value of an event says, as text that tells keys apart; nil where there is nothing. Raises `invalid`.
---@param evaluate nil|fun(root: table): any
---@param root table {event}
---@return string|nil
function M.key_of(evaluate, root)
  if not evaluate then return nil end
  local value, message = evaluate(root)
  if value == nil then
    if message then failure.raise("invalid", "%s", message) end
    return nil
  end
  if type(value) == "string" and #value <= KEY_MAX then return value ~= "" and value or nil end
  local text = type(value) == "table" and assert(json.encode(value, { canonical = true })) or tostring(value)
  if #text > KEY_MAX then return "#" .. require("weir.native.hash").sha256(text) end
  return text
end

local function default_input(event)
  if event.data == nil then return {} end
  return value_of.copy(event.data)
end

local function input_of(value)
  local evaluate = evaluator(value)
  if not evaluate then return default_input end
  return function(event)
    local input, message = evaluate { event = event, run = {} }
    if input == nil then failure.raise("invalid", "input: %s", message or "it gives nothing") end
    return input
  end
end

local READ = {}

function READ.dedupe(value)
  if type(value) ~= "table" then return { seconds = seconds(value) } end
  return { key = evaluator(value.key), seconds = seconds(value["for"]) or DEDUPE_S }
end

function READ.debounce(value)
  if type(value) ~= "table" then return { seconds = seconds(value) } end
  return { key = evaluator(value.key), seconds = seconds(value["for"]), max = seconds(value.max) }
end

function READ.throttle(value)
  if type(value) ~= "table" then return { limit = 1, seconds = seconds(value) } end
  return { key = evaluator(value.key), limit = value.limit or 1, seconds = seconds(value.per), drops = value.otherwise == "drop" }
end

function READ.batch(value)
  if type(value) ~= "table" then return { size = value, seconds = BATCH_S } end
  return { key = evaluator(value.key), size = value.size, seconds = seconds(value["for"]) or BATCH_S }
end

local function watcher_of(data)
  for name, options in pairs(data) do
    if not form.is_trigger_field[name] then return name, options end
  end
end

local function compile(pipeline, data, id)
  local watcher, options = watcher_of(data)
  local rules = { id = id, pipeline = pipeline, watcher = watcher, options = options, input = input_of(data.input),
    key = evaluator(data.key), concurrency = data.concurrency,
    filter = data.filter and must(condition.compile(data.filter)).test or nil }
  for name, read in pairs(READ) do
    if data[name] ~= nil then rules[name] = read(data[name]) end
  end
  if data.singleton ~= nil then rules.singleton = data.singleton == true or evaluator(data.singleton) end
  rules.holds = (rules.debounce or rules.throttle or rules.batch or rules.singleton or rules.dedupe and rules.dedupe.key) and true or false
  return rules
end

--- The triggers of a definition, but its schedules. Raises `invalid`.
---@param definition weir.Definition
---@return weir.TriggerRules[]
function M.of(definition)
  local list, names, normal = {}, {}, definition.normal
  for _, data in ipairs(normal.on or {}) do
    local watcher = watcher_of(data)
    local name = data.name or watcher
    names[name] = (names[name] or 0) + 1
    local id = ("%s/%s%s"):format(normal.name, name, names[name] > 1 and "_" .. names[name] or "")
    if watcher ~= "schedule" then list[#list + 1] = compile(normal.name, data, id) end
  end
  return list
end

--- What of a definition's queue decides about events. Raises `invalid`.
---@param definition weir.Definition
---@return table {limit, concurrency, overflow, share, priority, policy}
function M.queue_of(definition)
  local data = definition.normal.queue or {}
  local priority = data.priority
  return { limit = data.limit or 1000, concurrency = data.concurrency or 8, overflow = data.overflow or "reject",
    share = evaluator(data.key), policy = data.policy,
    priority = type(priority) == "string" and evaluator(priority) or priority and function() return priority end or nil }
end

return M
