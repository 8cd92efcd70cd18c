--- Conditions: the logical expressions of RFC 9535 (JSONPath), section 2.3.5, over StepData.
---
--- Comparison (`== != < <= > >=`), `&& || !`, parentheses, and the functions `length`, `count`,
--- `match`, `search`, `value`. As in the RFC a path that finds nothing compares as Nothing, equal only
--- to Nothing. Unlike the RFC a bare path is true when it finds something other than false and null.
--- Compiled to closures once. Pure; never yields.

local json = require "weir.native.json"
local path = require "weir.path"
local regex = require "weir.regex"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local NOTHING = setmetatable({}, { __name = "weir.nothing" })
local DEPTH_MAX = 64

-- Values -----------------------------------------------------------------------------------------

local equal = value_of.equal

local function less(a, b)
  local kind = type(a)
  return kind == type(b) and (kind == "number" or kind == "string") and a < b
end

local COMPARE = {
  ["=="] = equal,
  ["!="] = function(a, b) return not equal(a, b) end,
  ["<"] = less,
  [">"] = function(a, b) return less(b, a) end,
  ["<="] = function(a, b) return less(a, b) or equal(a, b) end,
  [">="] = function(a, b) return less(b, a) or equal(a, b) end,
}

-- Functions: each takes compiled arguments, gives a closure. `takes` and `gives` are the RFC's types.

local function length_of(value)
  if type(value) == "string" then return utf8.len(value) or NOTHING end
  if type(value) ~= "table" or value == NOTHING then return NOTHING end
  if json.is_list(value) then return #value end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  return count
end

local function pattern_call(method)
  return function(text, pattern)
    local compiled, source -- the last pattern that was not a literal
    local is_fixed = pattern.literal and type(pattern.value) == "string"
    local fixed = is_fixed and regex.compile(pattern.value, { iregexp = true })
    return function(data)
      local subject, expression = text.read(data), pattern.read(data)
      if type(subject) ~= "string" or type(expression) ~= "string" then return false end
      if not fixed and source ~= expression then
        compiled, source = regex.compile(expression, { iregexp = true }), expression
      end
      local automaton = fixed or compiled
      return automaton and automaton[method](automaton, subject) or false
    end
  end
end

local FUNCTIONS = {
  length = { takes = { "value" }, gives = "value", make = function(argument)
    return function(data) return length_of(argument.read(data)) end
  end },
  count = { takes = { "nodes" }, gives = "value", make = function(argument)
    return function(data) return #argument.nodes(data) end
  end },
  value = { takes = { "nodes" }, gives = "value", make = function(argument)
    return function(data)
      local nodes = argument.nodes(data)
      if #nodes == 1 then return nodes[1] end
      return NOTHING
    end
  end },
  match = { takes = { "value", "value" }, gives = "logical", make = pattern_call "match" },
  search = { takes = { "value", "value" }, gives = "logical", make = pattern_call "search" },
}

-- Parsing: recursive descent; a failure is raised as {what, at} and caught in `compile` -----------

local Parser = {}
Parser.__index = Parser

local function fail(self, what, at)
  error({ what = what, at = at or self.at }, 0)
end

local function skip(self)
  self.at = self.text:find("[^ \t\r\n]", self.at) or #self.text + 1
end

local function take(self, token)
  skip(self)
  if self.text:sub(self.at, self.at + #token - 1) ~= token then return false end
  self.at = self.at + #token
  return true
end

local function query(self)
  local start = self.at
  local segments, after, wrong_at = path.scan_segments(self.text, start + 1)
  if not segments then fail(self, after, wrong_at) end
  self.at = after
  local text = self.text:sub(start, after - 1)
  if self.text:sub(after, after) == "?" then
    fail(self, "no '?' is needed: a path that finds nothing is not an error here")
  end
  local is_singular = true
  for _, segment in ipairs(segments) do is_singular = is_singular and segment ~= true end
  local root = type(segments[1]) == "string" and segments[1] or nil
  self.references[#self.references + 1] = { root = root, path = text, optional = true, at = "" }
  local compiled = path.compile(text .. "?") -- optional: no words are made about what is not there
  return {
    kind = "query", at = start, singular = is_singular,
    nodes = function(data) return path.nodes(data, segments) end,
    read = function(data)
      local value = compiled.read(data)
      if value == nil then return NOTHING end
      return value
    end,
  }
end

local function literal(value, at)
  return { kind = "value", literal = true, value = value, at = at, read = function() return value end }
end

local function scan_number(self)
  local start = self.at
  local text = self.text:match("^%-?%d+%.?%d*[eE]?[+-]?%d*", start)
  local is_json = text:find("^%-?0[.eE]?") and not text:find("^%-?0%d") or text:find("^%-?[1-9]")
  local value = is_json and not text:find("%.%D") and not text:find("%.$") and tonumber(text)
  if not value then fail(self, ("'%s' is no number"):format(text)) end
  self.at = start + #text
  return literal(value, start)
end

local WORDS = { ["true"] = true, ["false"] = false, null = json.null }

local logical_or

local function check_argument(self, name, wanted, argument)
  if wanted == "nodes" then
    if argument.kind ~= "query" then fail(self, ("%s() takes a path"):format(name), argument.at) end
  elseif argument.kind == "logical" or argument.kind == "query" and not argument.singular then
    fail(self, ("%s() takes a single value; use value() for a path with '*'"):format(name), argument.at)
  end
end

local comparable

local function call(self, name, start)
  local known = FUNCTIONS[name]
  if not known then
    fail(self, ("'%s' is no function%s"):format(name, suggest.hint(name, value_of.names(FUNCTIONS))), start)
  end
  local arguments = {}
  if not take(self, ")") then
    repeat arguments[#arguments + 1] = comparable(self) until not take(self, ",")
    if not take(self, ")") then fail(self, "',' or ')' expected") end
  end
  if #arguments ~= #known.takes then
    local plural = #known.takes == 1 and "" or "s"
    fail(self, ("%s() takes %d argument%s, got %d"):format(name, #known.takes, plural, #arguments), start)
  end
  for index, wanted in ipairs(known.takes) do check_argument(self, name, wanted, arguments[index]) end
  local pattern = known.gives == "logical" and arguments[2]
  if pattern and pattern.literal and type(pattern.value) == "string" then
    local _, message = regex.compile(pattern.value, { iregexp = true })
    if message then fail(self, message, pattern.at) end
  end
  return { kind = known.gives, at = start, call = name, read = known.make(table.unpack(arguments)) }
end

-- A literal, a path or a function call.
function comparable(self)
  skip(self)
  local start, text = self.at, self.text
  local char = text:sub(start, start)
  if char == "$" then return query(self) end
  if char == "@" then fail(self, "'@' means nothing here; paths begin with '$'") end
  if char == "'" or char == '"' then
    local value, after, wrong_at = path.scan_string(text, start)
    if not value then fail(self, after, wrong_at) end
    self.at = after
    return literal(value, start)
  end
  if text:find("^%-?%d", start) then return scan_number(self) end
  local word = text:match("^[%a_][%w_]*", start)
  if not word then
    fail(self, "a value or path expected" .. (char == "" and "" or (", got '%s'"):format(char)))
  end
  self.at = start + #word
  if text:sub(self.at, self.at) == "(" then
    self.at = self.at + 1
    return call(self, word, start)
  end
  if WORDS[word] ~= nil then return literal(WORDS[word], start) end
  local hint = word:lower() == "and" and "; write '&&'" or word:lower() == "or" and "; write '||'"
    or word:lower() == "not" and "; write '!'" or ("; a path is written '$.%s', text in quotes"):format(word)
  fail(self, ("'%s' is no value%s"):format(word, hint), start)
end

local function operator(self)
  skip(self)
  local two, one = self.text:sub(self.at, self.at + 1), self.text:sub(self.at, self.at)
  local token = COMPARE[two] and two or COMPARE[one] and one
  if token then self.at = self.at + #token end
  if not token and one == "=" then fail(self, "'=' is no comparison; write '=='") end
  if not token and two == "~=" then fail(self, "'~=' is no comparison; write '!='") end
  return token
end

local function need_value(self, operand)
  if operand.kind == "logical" then
    fail(self, ("%s() is true or false by itself and is not compared"):format(operand.call), operand.at)
  end
  if operand.kind == "query" and not operand.singular then
    fail(self, "a path with '*' finds many values; use count() or value()", operand.at)
  end
end

local function truthy(value)
  return value ~= false and value ~= json.null and value ~= NOTHING
end

local function test(self, operand)
  if operand.kind == "logical" then return operand.read end
  if operand.kind ~= "query" then
    local what = operand.call and operand.call .. "()" or "a literal"
    fail(self, what .. " has to be compared with something", operand.at)
  end
  if operand.singular then
    return function(data) return truthy(operand.read(data)) end
  end
  return function(data)
    for _, value in ipairs(operand.nodes(data)) do
      if truthy(value) then return true end
    end
    return false
  end
end

local function compare_with(left, right, compare)
  local a, b = left.read, right.read
  return function(data) return compare(a(data), b(data)) end
end

local function basic(self)
  if take(self, "!") then
    skip(self)
    local start = self.at
    self.depth = self.depth + 1
    if self.depth > DEPTH_MAX then fail(self, ("more than %d levels deep"):format(DEPTH_MAX)) end
    local inner, is_comparison = basic(self)
    self.depth = self.depth - 1
    if is_comparison then fail(self, "'!' before a comparison needs parentheses: !(...)", start) end
    return function(data) return not inner(data) end
  end
  if take(self, "(") then
    self.depth = self.depth + 1
    if self.depth > DEPTH_MAX then fail(self, ("more than %d levels deep"):format(DEPTH_MAX)) end
    local inner = logical_or(self)
    if not take(self, ")") then fail(self, "')' expected") end
    self.depth = self.depth - 1
    return inner
  end
  local left = comparable(self)
  local token = operator(self)
  if not token then return test(self, left) end
  need_value(self, left)
  local right = comparable(self)
  need_value(self, right)
  return compare_with(left, right, COMPARE[token]), true
end

local function all_of(parts)
  if #parts == 1 then return parts[1] end
  return function(data)
    for index = 1, #parts do
      if not parts[index](data) then return false end
    end
    return true
  end
end

local function any_of(parts)
  if #parts == 1 then return parts[1] end
  return function(data)
    for index = 1, #parts do
      if parts[index](data) then return true end
    end
    return false
  end
end

local function logical_and(self)
  local parts = {}
  repeat parts[#parts + 1] = basic(self) until not take(self, "&&")
  return all_of(parts)
end

function logical_or(self)
  local parts = {}
  repeat parts[#parts + 1] = logical_and(self) until not take(self, "||")
  return any_of(parts)
end

local function parse(text)
  local self = setmetatable({ text = text, at = 1, depth = 0, references = {} }, Parser)
  local evaluate = logical_or(self)
  skip(self)
  if self.at <= #text then fail(self, ("'%s' is too much here"):format(text:sub(self.at, self.at + 20))) end
  return evaluate, self.references
end

---@class weir.Condition
---@field text string                    as written
---@field test fun(root: table): boolean never fails, never yields
---@field references weir.Reference[]    the paths in it; none has to find anything

local Condition = { __name = "weir.condition", __call = function(self, root) return self.test(root) end }
Condition.__index = Condition

--- Compiles a condition such as `$.score >= 0.8 && !$.write.flagged`.
---@param text string
---@return weir.Condition|nil condition  call it with StepData
---@return string? message               with the column
---@return string? code                  invalid
---@return { column: integer }? where    from 1, in bytes
function M.compile(text)
  if type(text) ~= "string" then error("text: a string expected, got a " .. type(text), 2) end
  local ok, result, references = pcall(parse, text)
  if ok then return setmetatable({ text = text, test = result, references = references }, Condition) end
  if type(result) ~= "table" then error(result, 0) end
  local message = ("condition '%s', column %d: %s"):format(text:sub(1, 200), result.at, result.what)
  return nil, message, "invalid", { column = result.at }
end

return M
