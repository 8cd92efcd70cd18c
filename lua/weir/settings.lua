--- Settings of a project: what each is called, where it may come from, what fits. A flag goes over the environment,
--- that over `weir.lua`, that over the default; each value knows where it came from. Reads nothing by itself but
--- the environment; never waits.

local duration = require "weir.duration"
local failure = require "weir.failure"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local DEFAULT_LISTEN = "127.0.0.1:4010"

-- What fits each setting ------------------------------------------------------------------------------

local function a_table(value)
  if type(value) == "table" then return value end
  return nil, ("a table expected, got %s"):format(value_of.show(value))
end

local function text(value)
  if type(value) == "string" and value ~= "" then return value end
  return nil, ("a text expected, got %s"):format(value_of.show(value))
end

local function texts(value)
  if type(value) ~= "table" then return a_table(value) end
  for place, inner in pairs(value) do
    local fits = math.type(place) == "integer" and text(inner)
    if not fits then return nil, ("a list of texts expected, got %s at '%s'"):format(value_of.show(inner), tostring(place)) end
  end
  return value
end

local function tables(value)
  if type(value) ~= "table" then return a_table(value) end
  for name, inner in pairs(value) do
    local fits = type(name) == "string" and a_table(inner)
    if not fits then return nil, ("tables by name expected, got %s at '%s'"):format(value_of.show(inner), tostring(name)) end
  end
  return value
end

-- ADDR:PORT; an IPv6 address stands in brackets. Port 0 takes any that is free.
local function address(value)
  if value == false then return false end
  local host, port = tostring(value):match "^(.+):(%d+)$"
  local number = math.tointeger(tonumber(port))
  local is_host = host and (host:find "^%[[%x:.]+%]$" or not host:find "[%s:%[%]/]")
  if type(value) == "string" and is_host and number <= 65535 then return value end
  return nil, ("ADDRESS:PORT expected, such as %s, or false for none, got %s"):format(DEFAULT_LISTEN, value_of.show(value))
end

local function is_off(given) return given == "off" or given == "false" end

M.levels = { "debug", "info", "warn", "error" }

local function level(value)
  for _, name in ipairs(M.levels) do
    if value == name then return value end
  end
  return nil, ("one of %s expected, got %s%s"):format(table.concat(M.levels, ", "), value_of.show(value), suggest.hint(value, M.levels))
end

local GROUPS = { type = "object", additionalProperties = {
  type = "array", minItems = 1, uniqueItems = true, items = { type = "string", pattern = "\\S" } } }

-- A group lists people. One inside another would make the answer to "who may" depend on the way it is read.
local function nested_group(list)
  for _, name in ipairs(value_of.names(list)) do
    for _, member in ipairs(list[name]) do
      if list[member] then return ("groups.%s names the group '%s'; a group lists people"):format(name, member) end
    end
  end
end

local function groups(value)
  local fits, errors = assert(require("weir.schema").compile(GROUPS, { trusted = true }))(value, "groups")
  if not fits then
    return nil, errors[1].message .. "; write people by group, such as groups = { ops = { \"ada\", \"bob\" } }", true
  end
  local nested = nested_group(value)
  if nested then return nil, nested, true end
  return value
end

local AMOUNT = { type = "number", exclusiveMinimum = 0 }

local MODELS = { type = "object", additionalProperties = {
  type = "object", additionalProperties = false, required = { "use" }, properties = {
  use = { type = "string", description = "a model module" }, options = { type = "object" }, provider = { type = "string" },
  price = { type = "object", additionalProperties = false, required = { "input", "output" }, properties = {
    input = { type = "number", minimum = 0 }, output = { type = "number", minimum = 0 }, cached = { type = "number", minimum = 0 } } },
  limits = { type = "object", additionalProperties = false, properties = { requests_per_minute = AMOUNT, tokens_per_minute = AMOUNT,
    concurrency = { type = "integer", minimum = 1 }, context = { type = "integer", minimum = 1 } } },
  weight = { type = "number", minimum = 0 },
  capabilities = { type = "object", additionalProperties = { type = "boolean" } } } } }

local ROUTING = { type = "object", additionalProperties = false, properties = {
  attempts = { type = "integer", minimum = 1 }, backoff = AMOUNT, backoff_max = AMOUNT, patience = AMOUNT, wait_max = AMOUNT,
  all_cooling = { enum = { "wait", "fail", "last_resort" } }, last_resort = { type = "string" },
  hedge = { oneOf = { { const = "p95" }, AMOUNT } }, on = { type = "object", additionalProperties = { type = "string" } },
  resume = { enum = { "retry", "continue", "none" } } } }

local BUDGETS = { type = "array", items = { type = "object", additionalProperties = false, properties = {
  per = { enum = { "day", "month", "ever" } }, pipeline = { type = "string" }, key = { type = "string" },
  calls = AMOUNT, tokens = AMOUNT, usd = AMOUNT, steps = AMOUNT, seconds = AMOUNT,
  otherwise = { enum = { "fail", "pause", "ask" } } } } }

-- What a schema says of a setting.
local function fitting(schema)
  local validate
  return function(value, name)
    validate = validate or assert(require("weir.schema").compile(schema, { trusted = true }))
    local fits, errors = validate(value, name)
    if fits then return value end
    return nil, errors[1].message, true
  end
end

local SUPERVISE = { type = "array", items = { type = { "string", "object" }, required = { "use" }, additionalProperties = false,
  properties = { use = { type = "string", minLength = 1 }, options = { type = "object" } } } }

local CANARY = { type = "object", required = { "percent" }, additionalProperties = false, properties = {
  percent = { type = "number", exclusiveMinimum = 0, maximum = 100 }, policy = { type = "string", minLength = 1 },
  options = { type = "object" } } }

local function skills(value, name) return fitting(require("weir.skill.policy").schema)(value, name) end
local function secrets(value) return require("weir.secret").check(value) end
local function mcp_servers(value) return require("weir.mcp.settings").check(value) end

local function calendars(value) return require("weir.schedule.calendar").check(value) end

local function time_span(value)
  local seconds, message = duration.parse(value)
  if seconds then return value end
  return nil, message
end

local function count(value)
  if math.type(value) == "integer" and value >= 1 then return value end
  return nil, ("an integer from 1 expected, got %s"):format(value_of.show(value))
end

---@class weir.Setting
---@field name string
---@field env string|nil      variable that sets it
---@field default any
---@field check fun(value: any): any, string? the value, or nil and what is wrong with it
---@field of_text nil|fun(given: string): any what a text of the environment or a flag stands for
---@field shown nil|fun(value: any): any what people may see of it
---@field doc string

--- Every setting, in the order in which `weir config` lists them.
---@type weir.Setting[]
M.all = {
  { name = "store", env = "WEIR_STORE", check = text, doc = "the folder of the store" },
  { name = "listen", env = "WEIR_LISTEN", default = DEFAULT_LISTEN, check = address, doc = "where `weir serve` listens; false: nowhere",
    of_text = function(given) if is_off(given) then return false end return given end },
  { name = "log", env = "WEIR_LOG", default = "info", check = level, doc = "the least level that is logged" },
  { name = "events", env = "WEIR_EVENTS", check = text, doc = "the URL that published events are sent to" },
  { name = "retention", check = time_span, doc = "how long runs are kept whose pipeline does not say" },
  { name = "versions", check = count, doc = "how many versions of each document are kept; all where it is left out" },
  { name = "groups", check = groups, doc = "people by group" },
  { name = "options", check = tables, doc = "options by module" },
  { name = "models", check = fitting(MODELS), doc = "models by name: use, options, price, limits, weight, capabilities" },
  { name = "model", env = "WEIR_MODEL", check = text, doc = "the model of steps that name none" },
  { name = "routing", check = fitting(ROUTING), doc = "what is done when a model fails: attempts, backoff, hedge, resume, ..." },
  { name = "budgets", check = fitting(BUDGETS), doc = "what runs may use together, per day, month or ever" },
  { name = "mcp", check = mcp_servers, doc = "servers of tools by name, over the Model Context Protocol" },
  { name = "calendars", check = calendars, doc = "calendars of schedules by name: days, exclude, include" },
  { name = "skills", check = skills, doc = "where skills are looked for, and when they are promoted" },
  { name = "supervise", check = fitting(SUPERVISE), doc = "supervisors of every run: names, or {use, options}" },
  { name = "canary", check = fitting(CANARY), doc = "have every version that is reloaded begin on trial: percent, policy, options" },
  { name = "roots", check = texts, doc = "folders that agents may read" },
  { name = "hooks", check = tables, doc = "webhooks by path" },
  { name = "hosts", check = texts, doc = "more names by which the HTTP door is asked" },
  { name = "origins", check = texts, doc = "origins of pages that may ask the HTTP door" },
  { name = "tokens", check = text, doc = "the file of the HTTP door's tokens" },
  { name = "secrets", check = secrets, shown = function(value) return require("weir.secret").shown(value) end,
    doc = "where the values of secrets come from" },
}

M.by_name, M.names = {}, {}
for index, setting in ipairs(M.all) do
  M.by_name[setting.name], M.names[index] = setting, setting.name
end

-- weir.lua ------------------------------------------------------------------------------------------

local function check_one(file, name, value)
  local setting = M.by_name[name]
  if not setting then
    failure.raise("invalid", "%s: there is no setting '%s'%s; there are %s", file, tostring(name), suggest.hint(name, M.names),
      table.concat(M.names, ", "))
  end
  local ok, wrong, is_whole = setting.check(value, name)
  if ok == nil then failure.raise("invalid", is_whole and "%s: %s" or "%s: " .. name .. ": %s", file, wrong) end
end

--- Checks what `weir.lua` returned. Raises `invalid`.
---@param file string its path, for messages
---@param given any
---@return table settings
function M.check(file, given)
  if type(given) ~= "table" then failure.raise("invalid", "%s: returns a %s; settings are a table", file, type(given)) end
  local names = {}
  for name in pairs(given) do names[#names + 1] = name end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do check_one(file, name, given[name]) end
  return given
end

--- A setting's value as people may see it.
---@param name string
---@param value any
---@return any
function M.shown(name, value)
  local setting = M.by_name[name]
  if value == nil or not setting.shown then return value end
  return setting.shown(value)
end

-- All of them together --------------------------------------------------------------------------------

---@class weir.Settled
---@field value any
---@field origin "flag"|"environment"|"file"|"default"
---@field where string such as "--listen", "WEIR_LISTEN", the path of weir.lua

local function of_text(setting, given, where)
  local value = given
  if setting.of_text then value = setting.of_text(given) end
  local ok, wrong = setting.check(value)
  if ok == nil then failure.raise("invalid", "%s: %s", where, wrong) end
  return value
end

local function settle(setting, project, flags, env)
  local name = setting.name
  if flags[name] ~= nil then
    local where = "--" .. name
    return { value = of_text(setting, flags[name], where), origin = "flag", where = where }
  end
  local given = setting.env and env(setting.env)
  if given and given ~= "" then
    return { value = of_text(setting, given, setting.env), origin = "environment", where = setting.env }
  end
  if project.settings[name] ~= nil then return { value = project.settings[name], origin = "file", where = project.root .. "/weir.lua" } end
  local default = setting.default
  if name == "store" then default = project.root .. "/.weir" end
  return { value = default, origin = "default", where = "default" }
end

--- One setting. Raises `invalid` when what the flag or the environment says does not fit. Does not wait.
---@param project weir.Project
---@param name string
---@param flag string|boolean|nil
---@param env (fun(name: string): string?)|nil
---@return weir.Settled
function M.one(project, name, flag, env)
  return settle(M.by_name[name], project, { [name] = flag }, env or os.getenv)
end

--- Every setting by name. Raises `invalid`. Does not wait.
---@param project weir.Project
---@param flags table<string, string|boolean>|nil
---@param env (fun(name: string): string?)|nil
---@return table<string, weir.Settled>
function M.resolve(project, flags, env)
  local settled = {}
  for _, setting in ipairs(M.all) do settled[setting.name] = settle(setting, project, flags or {}, env or os.getenv) end
  return settled
end

return M
