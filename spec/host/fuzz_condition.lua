--- What paths, conditions and texts with `${}` promise for any bytes: they compile, or are refused with a
--- message and `invalid`; what compiles reads any data without raising, and reads the same when compiled anew.

local condition = require "weir.condition"
local json = require "weir.native.json"
local path = require "weir.path"

local ROOTS = {
  {},
  { input = { a = { 1, 2, { b = "x" } }, n = 3.5, t = true, z = json.null, ["odd key"] = "y" }, draft = "text" },
  { input = "text", draft = json.list {}, a = { b = { c = 1 } } },
}

local function must(holds, what) if not holds then error(what, 2) end end

local function refused(value, message, code)
  must(value == nil and type(message) == "string" and message ~= "" and code == "invalid", "refused without message or code")
end

local function check_path(text)
  local compiled, message, code = path.compile(text)
  if not compiled then return refused(compiled, message, code) end
  local again = assert(path.compile(compiled.text))
  for _, root in ipairs(ROOTS) do
    local value, why = compiled:get(root)
    must(value ~= nil or compiled.optional or type(why) == "string", "nothing found and no reason")
    local same = again:get(root)
    must(json.encode(same) == json.encode(value), "the path reads otherwise when compiled again")
  end
end

local function check_condition(text)
  local compiled, message, code = condition.compile(text)
  if not compiled then return refused(compiled, message, code) end
  local again = assert(condition.compile(compiled.text))
  for _, root in ipairs(ROOTS) do
    local holds = compiled(root)
    must(type(holds) == "boolean", "a condition gave no boolean")
    must(again(root) == holds, "the condition holds otherwise when compiled again")
  end
end

local function check_value(text)
  local evaluate, references, code = path.compile_value(text)
  if not evaluate then return refused(evaluate, references, code) end
  for _, root in ipairs(ROOTS) do evaluate(root) end
end

return function(bytes)
  check_path(bytes)
  check_condition(bytes)
  check_value(bytes)
end
