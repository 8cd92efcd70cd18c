--- The constructors with which a definition is written in Lua. They build a tree that says what was
--- written and where; `weir.definition.normal` gives it its meaning. In a table the positional entries
--- are children, the named ones fields; `false` is skipped, a plain list is spliced. Mistakes are kept
--- in the tree, so that all of them can be told at once. Pure; never yields.

local M = {}

---@class weir.Node
---@field type "pipeline"|"flow"|"group"|"step"
---@field kind string|nil   of a step: approval, map, speculate, wait, plan; nil for weir.step
---@field name string
---@field fields table      as written
---@field children weir.Node[]
---@field body function|nil  a flow's program, or what a step of a flow runs
---@field file string|nil
---@field line integer|nil  where the constructor was called
---@field problems { message: string, line: integer?, file: string? }[]
local Node = { __name = "weir.node" }

local Unfinished = { __name = "weir.unfinished" }

local OWN_FILE = debug.getinfo(1, "S").source

-- The nearest caller outside the library; the library's own files are loaded as "=weir/...".
local function caller()
  local level = 3
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return nil, nil end
    local is_library = info.source == OWN_FILE or info.source:find("^=weir/") or info.what == "C"
    if not is_library then return info.source:match("^[@=](.*)") or info.short_src, info.currentline end
    level = level + 1
  end
end

local function problem(node, at, message, ...)
  local problems = node.problems
  problems[#problems + 1] = { message = message:format(...), file = at.file, line = at.line }
end

local function label(node)
  return ("%s '%s'"):format(node.kind or node.type, tostring(node.name))
end

M.label = label

local function is_plain_list(value)
  if getmetatable(value) == Node or getmetatable(value) == Unfinished then return false end
  for key in pairs(value) do
    if math.type(key) ~= "integer" then return false end
  end
  return true
end

local function last_index(value)
  local last = 0
  for key in pairs(value) do
    if math.type(key) == "integer" then last = math.max(last, key) end
  end
  return last
end

local add_child

local function add_function(node, body)
  if node.body then
    problem(node, node, "has more than one function")
  end
  node.body = body
end

local function describe(child)
  if type(child) == "string" then return ("the text '%s'"):format(child:sub(1, 40)) end
  if type(child) == "table" then return "a table with fields" end
  return "a " .. type(child)
end

local function add_list(node, list)
  local missing = 0
  for position = 1, last_index(list) do
    if list[position] == nil then
      missing = missing + 1
    else
      add_child(node, list[position])
    end
  end
  if missing > 0 then
    problem(node, node, "has %s among its children (a nil value); is a name misspelt?",
      missing == 1 and "a hole" or missing .. " holes")
  end
end

function add_child(node, child)
  if child == false then return end
  if type(child) == "function" then return add_function(node, child) end
  local kind = type(child) == "table" and getmetatable(child)
  if kind == Node then
    node.children[#node.children + 1] = child
  elseif kind == Unfinished then
    problem(node, child, "%s is unfinished: its table {...} is missing", label(child))
  elseif type(child) == "table" and is_plain_list(child) then
    add_list(node, child)
  else
    problem(node, node, "%s is no step or group; write weir.step \"name\" {...}", describe(child))
  end
end

local function split(node, content)
  local positional = {}
  for key, value in pairs(content) do
    if type(key) == "string" then
      node.fields[key] = value
    elseif math.type(key) == "integer" and key >= 1 then
      positional[key] = value
    else
      problem(node, node, "has the key %s; fields have names", tostring(key))
    end
  end
  add_list(node, positional)
end

local function finish(unfinished, content)
  if type(content) ~= "table" or getmetatable(content) == Node or getmetatable(content) == Unfinished then
    error(("%s: a table {...} expected, got %s"):format(label(unfinished), describe(content)), 2)
  end
  local node = {
    type = unfinished.type, kind = unfinished.kind, name = unfinished.name, fields = {}, children = {}, problems = {},
    file = unfinished.file or nil, line = unfinished.line or nil,
  }
  node.kind = node.kind or nil
  split(node, content)
  return setmetatable(node, Node)
end

Unfinished.__call = finish
Unfinished.__index = function(self, key)
  error(("%s is unfinished: write its table {...} before using '%s'"):format(label(self), tostring(key)), 2)
end

local function constructor(kind_of_node, kind)
  local called = kind or kind_of_node
  return function(name)
    if type(name) ~= "string" then
      local message = "weir.%s: a name expected, got %s; write weir.%s \"name\" {...}"
      error(message:format(called, describe(name), called), 2)
    end
    local file, line = caller()
    -- Every field is set: reading one that is not there is a person's mistake, and raises.
    local unfinished = { type = kind_of_node, kind = kind or false, name = name }
    unfinished.file, unfinished.line = file or false, line or false
    return setmetatable(unfinished, Unfinished)
  end
end

--- Each of these takes a name and gives a function that takes the table:
--- `weir.step "write" { agent = "summarize" }`. A name that is no string raises.
M.pipeline = constructor "pipeline"
M.flow = constructor "flow"
M.group = constructor "group"
M.step = constructor "step"
M.approval = constructor("step", "approval")
M.map = constructor("step", "map")
M.speculate = constructor("step", "speculate")
M.wait = constructor("step", "wait")
M.plan = constructor("step", "plan")

--- Whether a value was built by one of the constructors and has its table.
---@param value any
---@return boolean
function M.is_node(value)
  return type(value) == "table" and getmetatable(value) == Node
end

--- Whether a value is a constructor that was given its name but not its table.
---@param value any
---@return boolean
function M.is_unfinished(value)
  return type(value) == "table" and getmetatable(value) == Unfinished
end

return M
