--- The world that a module or pipeline file sees: copies of the library tables without what could harm
--- the host, a `require` of its own, and `print` that goes to the run it prints for.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local secret = require "weir.native.secret"
local variables = require "weir.secret.variables"

local M = {}

local RESULT_MAX = 64 << 20 -- bytes that one call may build
local GLOBALS = { "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawequal", "rawget", "rawlen",
  "rawset", "select", "tonumber", "tostring", "type", "_VERSION" }
local OS = { "clock", "date", "difftime", "time" }
local SOURCE_MAX = 256 << 10

local function copy(library)
  local result = {}
  for name, value in pairs(library) do result[name] = value end
  return result
end

local function too_big(what)
  failure.raise("limit", "%s would build more than %d bytes in one call", what, RESULT_MAX)
end

local rep, concat, format = string.rep, table.concat, string.format

local function bounded_rep(text, count, separator)
  local size = (#text + (separator and #separator or 0)) * math.max(count, 0)
  if size > RESULT_MAX or size < 0 or count > RESULT_MAX then too_big "string.rep" end
  return rep(text, count, separator)
end

local function bounded_concat(list, separator, from, to)
  local first, last = from or 1, to or #list
  if last - first > RESULT_MAX then too_big "table.concat" end
  local size = 0
  for index = first, last do
    local part = list[index]
    if type(part) == "string" then size = size + #part end
  end
  if size + (separator and #separator or 0) * math.max(last - first, 0) > RESULT_MAX then too_big "table.concat" end
  return concat(list, separator, from, to)
end

local function bounded_format(pattern, ...)
  local size = #pattern
  for index = 1, select("#", ...) do
    local value = select(index, ...)
    if type(value) == "string" then size = size + #value end
  end
  if size > RESULT_MAX then too_big "string.format" end
  return format(pattern, ...)
end

--- Bounds what one call of the string library may build, for every string's methods too, and protects
--- the metatable of strings. Done once for the state.
function M.protect_strings()
  string.rep, string.format, table.concat = bounded_rep, bounded_format, bounded_concat -- luacheck: ignore 142
  getmetatable("").__metatable = false
end

local function safe_setmetatable(value, meta)
  if type(meta) == "table" and (rawget(meta, "__gc") ~= nil or rawget(meta, "__concat") ~= nil) then
    error("setmetatable: __gc and __concat are not available to modules; use a to-be-closed variable, or tostring", 2)
  end
  return setmetatable(value, meta)
end

local function safe_xpcall(body, handler, ...)
  local results = table.pack(xpcall(body, failure.explain, ...))
  if results[1] then return table.unpack(results, 1, results.n) end
  local err = results[2]
  if type(err) == "table" and err.traceback and err.code == "failed" then err = err.message end
  return false, handler(err)
end

local function safe_load(environment)
  return function(chunk, name, _, env)
    local text = chunk
    if type(chunk) == "function" then
      local parts = {}
      for part in chunk do parts[#parts + 1] = part end
      text = concat(parts)
    end
    if type(text) ~= "string" then error("load: a string or a function expected", 2) end
    if #text > SOURCE_MAX then return nil, ("load: source of more than %d bytes"):format(SOURCE_MAX) end
    name = tostring(name or "=(load)")
    if name:find "^=weir/" then name = "=(load)" end
    return load(text, name, "t", env or environment)
  end
end

local function print_for(...)
  local parts = {}
  for index = 1, select("#", ...) do parts[index] = tostring((select(index, ...))) end
  local text = concat(parts, "\t")
  local frame = native.context()
  local ctx = frame and frame.current
  if ctx then return ctx:print(text) end
  io.stderr:write(secret.redact(text):sub(1, 4096), "\n")
end

-- The flow that runs now, or nil: of a declared pipeline's file, of a module, of no run at all.
local function current_flow()
  local frame = native.context()
  return frame and frame.is_flow and frame or nil
end

local function sorted_pairs(value)
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__pairs then return pairs(value) end
  local keys, count = {}, 0
  for key in next, value do
    count = count + 1
    keys[count] = key
  end
  table.sort(keys, function(a, b)
    local kind_a, kind_b = type(a), type(b)
    if kind_a ~= kind_b then return kind_a < kind_b end
    if kind_a == "number" or kind_a == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  local position = 0
  return function()
    position = position + 1
    local key = keys[position]
    if key ~= nil then return key, value[key] end
  end, value, nil
end

local function flow_time(given)
  local frame = given == nil and current_flow()
  if frame then return require("weir.run.flow").wall_ms(frame) // 1000 end
  return os.time(given)
end

local function flow_date(format_text, time)
  return os.date(format_text, time or flow_time())
end

local function flow_random(from, to)
  local frame = current_flow()
  if not frame then
    if to then return math.random(from, to) end
    if from then return math.random(from) end
    return math.random()
  end
  if to then return from - 1 + frame.run:draw(to - from + 1, frame, frame.prefix) end
  return frame.run:draw(from, frame, frame.prefix)
end

-- What is a secret is used by its handle only.
local function harmless_getenv(variable)
  local name = variables.owner(variable)
  if name then
    failure.raise("denied", "the variable '%s' holds the secret '%s', which no module reads; use ctx:secret \"%s\"", variable, name, name)
  end
  return os.getenv(variable)
end

-- What a replay must see again: order, time, chance.
local function make_repeatable(environment)
  environment.pairs = sorted_pairs
  environment.os.time, environment.os.date = flow_time, flow_date
  environment.os.clock = nil
  environment.math.random, environment.math.randomseed = flow_random, nil
end

--- A fresh environment.
---@param require_function fun(name: string): any what `require` does there
---@param is_repeatable boolean|nil for the files of pipelines: `pairs` goes in sorted order, and in a flow time
---   and chance are those of its run
---@return table
function M.new(require_function, is_repeatable)
  local environment = { coroutine = copy(coroutine), string = copy(string), table = copy(table), math = copy(math),
    utf8 = copy(utf8), os = {}, require = require_function, setmetatable = safe_setmetatable, xpcall = safe_xpcall,
    print = print_for }
  for _, name in ipairs(GLOBALS) do environment[name] = _G[name] end
  for _, name in ipairs(OS) do environment.os[name] = os[name] end
  environment.os.getenv = harmless_getenv
  environment.string.dump = nil
  environment._G = environment
  environment.load = safe_load(environment)
  if is_repeatable then make_repeatable(environment) end
  return environment
end

return M
