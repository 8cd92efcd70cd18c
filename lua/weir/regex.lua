--- Regular expressions over Unicode text whose time grows with the length of the text only.
---
--- The pattern becomes a nondeterministic automaton (Thompson, "Regular expression search
--- algorithm", CACM 1968), run as a deterministic one whose states are made when first needed, so no
--- pattern can backtrack. Syntax: what ECMA-262 and I-Regexp (RFC 9485) have in common and a little
--- more: alternatives, groups, classes, `* + ? {n,m}` (lazy forms too), `.`, `\d \w \s \D \W \S`,
--- `\uXXXX`, `\xXX`, `\t \n \r \f \v`, and `^ $ \b \B` as in ECMA-262. Look-around, back references
--- and `\p{...}` are refused when compiled. Pure; never yields.

local M = {}

local PROGRAM_MAX = 20000 -- instructions; {n,m} is written out, so this bounds it
local MEMORY_MAX = 20000  -- remembered states and moves; past it the memory is emptied
local LAST = 0x10FFFF

-- Parsing into a tree ----------------------------------------------------------------------------

local Parser = {}
Parser.__index = Parser

local function fail(self, what, at)
  error({ what = what, at = at or self.at }, 0)
end

local function peek(self)
  return self.codes[self.at]
end

local function is(self, char)
  return self.codes[self.at] == char:byte()
end

local function take(self, char)
  if not is(self, char) then return false end
  self.at = self.at + 1
  return true
end

local DIGIT = { { 48, 57 } }
local WORD = { { 48, 57 }, { 65, 90 }, { 95, 95 }, { 97, 122 } }
local SPACE = { { 9, 13 }, { 32, 32 }, { 0xA0, 0xA0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200A }, { 0x2028, 0x2029 },
  { 0x202F, 0x202F }, { 0x205F, 0x205F }, { 0x3000, 0x3000 }, { 0xFEFF, 0xFEFF } }
local CONTROL = { t = 9, n = 10, v = 11, f = 12, r = 13 }

local function complement(ranges)
  table.sort(ranges, function(a, b) return a[1] < b[1] end)
  local result, from = {}, 0
  for _, range in ipairs(ranges) do
    if range[1] > from then result[#result + 1] = { from, range[1] - 1 } end
    from = math.max(from, range[2] + 1)
  end
  if from <= LAST then result[#result + 1] = { from, LAST } end
  return result
end

local CLASSES = { d = DIGIT, w = WORD, s = SPACE, D = complement(DIGIT), W = complement(WORD), S = complement(SPACE) }

local function hex(self, digits)
  local value = 0
  for _ = 1, digits do
    local code = peek(self)
    local digit = code and code < 128 and tonumber(string.char(code), 16)
    if not digit then fail(self, "a hexadecimal digit expected") end
    value = value * 16 + digit
    self.at = self.at + 1
  end
  return value
end

local function unicode_escape(self)
  if take(self, "{") then
    local value = 0
    repeat
      value = value * 16 + hex(self, 1)
      if value > LAST then fail(self, "no such character") end
    until take(self, "}")
    return value
  end
  local high = hex(self, 4)
  if high < 0xD800 or high > 0xDBFF or not (is(self, "\\") and self.codes[self.at + 1] == 117) then return high end
  local mark = self.at
  self.at = self.at + 2
  local low = hex(self, 4)
  if low >= 0xDC00 and low <= 0xDFFF then return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00) end
  self.at = mark
  return high
end

-- What stands after a backslash: a list of ranges for a class, or one code point.
local function escape(self, in_class)
  local code = peek(self)
  if not code then fail(self, "the pattern ends in a backslash", self.at - 1) end
  local char = code < 128 and string.char(code) or ""
  self.at = self.at + 1
  if CLASSES[char] then return CLASSES[char] end
  if CONTROL[char] then return nil, CONTROL[char] end
  if char == "x" then return nil, hex(self, 2) end
  if char == "u" then return nil, unicode_escape(self) end
  if char == "b" and in_class then return nil, 8 end
  if char == "0" and not (peek(self) and peek(self) >= 48 and peek(self) <= 57) then return nil, 0 end
  if char == "c" then
    local letter = peek(self)
    local name = letter and letter < 128 and string.char(letter) or ""
    if not name:find("%a") then fail(self, "a letter expected after '\\c'") end
    self.at = self.at + 1
    return nil, letter % 32
  end
  if char == "p" or char == "P" then fail(self, "'\\p{...}' is not supported; list the characters", self.at - 2) end
  if char:find("%d") or char == "k" then fail(self, "back references are not supported", self.at - 2) end
  if char:find("%a") then fail(self, ("'\\%s' is no escape"):format(char), self.at - 2) end
  return nil, code
end

local function class_atom(self)
  local code = peek(self)
  if not code then fail(self, "']' expected") end
  self.at = self.at + 1
  if code == 92 then return escape(self, true) end
  return nil, code
end

local function class(self)
  local start, ranges = self.at - 1, {}
  local negated = take(self, "^")
  while not take(self, "]") do
    if not peek(self) then fail(self, "'[' without its ']'", start) end
    local set, low = class_atom(self)
    local high = low
    if is(self, "-") and self.codes[self.at + 1] and self.codes[self.at + 1] ~= 93 then
      self.at = self.at + 1
      local other_set, other = class_atom(self)
      if set or other_set then fail(self, "a range needs a character on both sides") end
      if other < low then fail(self, "a range goes from low to high") end
      high = other
    end
    for _, range in ipairs(set or { { low, high } }) do ranges[#ranges + 1] = range end
  end
  return { type = "set", ranges = negated and complement(ranges) or ranges }
end

local function single(code)
  return { type = "set", ranges = { { code, code } } }
end

local alternatives

local function group(self)
  local start = self.at - 1
  if take(self, "?") then
    if not take(self, ":") then
      local name = is(self, "<") and self.codes[self.at + 1]
      if not name or name == 61 or name == 33 then fail(self, "look-around is not supported", start) end
      repeat self.at = self.at + 1 until not peek(self) or is(self, ">")
      if not take(self, ">") then fail(self, "a group's name needs '>'", start) end
    end
  end
  self.depth = self.depth + 1
  if self.depth > 100 then fail(self, "groups nested more than 100 levels deep", start) end
  local inner = alternatives(self)
  if not take(self, ")") then fail(self, "'(' without its ')'", start) end
  self.depth = self.depth - 1
  return inner
end

local DOT = complement { { 10, 10 }, { 13, 13 }, { 0x2028, 0x2029 } }
local IREGEXP_DOT = complement { { 10, 10 }, { 13, 13 } }

local function backslash(self)
  for char, name in pairs { b = "boundary", B = "no_boundary" } do
    if is(self, char) then
      self.at = self.at + 1
      return { type = "assert", what = name }
    end
  end
  local set, code = escape(self, false)
  return set and { type = "set", ranges = set } or single(code)
end

local function atom(self)
  local code = peek(self)
  self.at = self.at + 1
  local char = code < 128 and string.char(code) or ""
  if char == "(" then return group(self) end
  if char == "[" then return class(self) end
  if char == "." then return { type = "set", ranges = self.iregexp and IREGEXP_DOT or DOT } end
  if char == "\\" then return backslash(self) end
  if char == "^" then return { type = "assert", what = "start" } end
  if char == "$" then return { type = "assert", what = "finish" } end
  if char == "*" or char == "+" or char == "?" then
    fail(self, ("nothing stands before '%s'"):format(char), self.at - 1)
  end
  if char == "{" or char == "}" or char == "]" then
    fail(self, ("'%s' has to be written '\\%s'"):format(char, char), self.at - 1)
  end
  return single(code)
end

local function number(self)
  local start, value = self.at, 0
  while peek(self) and peek(self) >= 48 and peek(self) <= 57 do
    value = math.min(value * 10 + peek(self) - 48, 1000000)
    self.at = self.at + 1
  end
  return self.at > start and value or nil
end

local function bounds(self)
  if take(self, "*") then return 0 end
  if take(self, "+") then return 1 end
  if take(self, "?") then return 0, 1 end
  local start = self.at
  if not take(self, "{") then return nil end
  local low = number(self)
  if not low then fail(self, "'{' has to be written '\\{', or holds a number", start) end
  local high = low
  if take(self, ",") then high = number(self) end
  if not take(self, "}") then fail(self, "'{' without its '}'", start) end
  if high and high < low then fail(self, "a repetition goes from low to high", start) end
  return low, high
end

local function repeated(self)
  local inner = atom(self)
  local start = self.at
  local low, high = bounds(self)
  if not low then return inner end
  take(self, "?") -- lazy: the same texts match
  if peek(self) and bounds(self) then fail(self, "nothing stands before this repetition", start) end
  return { type = "repeat", inner = inner, low = low, high = high }
end

local function sequence(self)
  local parts = {}
  while peek(self) and not is(self, "|") and not is(self, ")") do parts[#parts + 1] = repeated(self) end
  return { type = "sequence", parts = parts }
end

function alternatives(self)
  local first = sequence(self)
  if not is(self, "|") then return first end
  local parts = { first }
  while take(self, "|") do parts[#parts + 1] = sequence(self) end
  return { type = "choice", parts = parts }
end

-- The automaton: instructions {op, ...}; `next` and `other` are indexes ---------------------------

local emit

local function add(program, instruction)
  if #program >= PROGRAM_MAX then error({ what = "the pattern is too large", at = 1 }, 0) end
  program[#program + 1] = instruction
  return #program
end

local function emit_choice(program, parts)
  local jumps = {}
  for index, part in ipairs(parts) do
    if index < #parts then
      local split = add(program, { op = "split" })
      program[split].next = #program + 1
      emit(program, part)
      jumps[#jumps + 1] = add(program, { op = "jump" })
      program[split].other = #program + 1
    else
      emit(program, part)
    end
  end
  for _, jump in ipairs(jumps) do program[jump].next = #program + 1 end
end

local function emit_repeat(program, node)
  for _ = 1, node.low do emit(program, node.inner) end
  if not node.high then
    local split = add(program, { op = "split" })
    program[split].next = #program + 1
    emit(program, node.inner)
    add(program, { op = "jump", next = split })
    program[split].other = #program + 1
    return
  end
  local splits = {}
  for _ = node.low + 1, node.high do
    splits[#splits + 1] = add(program, { op = "split" })
    program[splits[#splits]].next = #program + 1
    emit(program, node.inner)
  end
  for _, split in ipairs(splits) do program[split].other = #program + 1 end
end

function emit(program, node)
  -- Repetitions of nothing add no instruction, so the work is bounded besides the size.
  program.work = (program.work or 0) + 1
  if program.work > 4 * PROGRAM_MAX then error({ what = "the pattern is too large", at = 1 }, 0) end
  if node.type == "set" then
    add(program, { op = "set", ranges = node.ranges })
  elseif node.type == "assert" then
    add(program, { op = "assert", what = node.what })
  elseif node.type == "sequence" then
    for _, part in ipairs(node.parts) do emit(program, part) end
  elseif node.type == "choice" then
    emit_choice(program, node.parts)
  else
    emit_repeat(program, node)
  end
end

-- Running it -------------------------------------------------------------------------------------

local function is_word(code)
  if not code then return false end
  return code >= 48 and code <= 57 or code >= 65 and code <= 90 or code == 95 or code >= 97 and code <= 122
end

local function holds(what, before, after)
  if what == "start" then return before == "start" end
  if what == "finish" then return after == nil end
  local differs = (before == "word") ~= is_word(after)
  return differs == (what == "boundary")
end

-- Everything reachable without reading. Without `resolve`, assertions wait for the next character.
local function closure(program, list, resolve)
  local seen, result, stack = {}, {}, {}
  for index = #list, 1, -1 do stack[#stack + 1] = list[index] end
  while #stack > 0 do
    local index = table.remove(stack)
    if not seen[index] then
      seen[index] = true
      local instruction = program[index]
      local op = instruction.op
      if op == "jump" then
        stack[#stack + 1] = instruction.next
      elseif op == "split" then
        stack[#stack + 1] = instruction.other
        stack[#stack + 1] = instruction.next
      elseif op == "assert" and resolve then
        if resolve(instruction.what) then stack[#stack + 1] = index + 1 end
      else
        result[#result + 1] = index
      end
    end
  end
  table.sort(result)
  return result
end

local function in_ranges(ranges, code)
  for index = 1, #ranges do
    local range = ranges[index]
    if code >= range[1] and code <= range[2] then return true end
  end
  return false
end

local Regex = { __name = "weir.regex" }
Regex.__index = Regex

local function state_for(self, list, before)
  local kind = self.has_assertions and before or ""
  local key = kind .. table.concat(list, ",")
  local state = self.states[key]
  if state then return state end
  if self.memory_count >= MEMORY_MAX then
    self.states, self.memory_count, self.first = {}, 0, {}
  end
  state = { list = list, before = before, moves = {} }
  self.states[key] = state
  self.memory_count = self.memory_count + 1
  return state
end

local function resolved(self, state, code)
  if not self.has_assertions then return state.list end
  return closure(self.program, state.list, function(what) return holds(what, state.before, code) end)
end

local function accepts(self, list)
  return list[#list] == self.accept
end

local function is_final(self, state)
  if state.final == nil then state.final = accepts(self, resolved(self, state, nil)) end
  return state.final
end

local function move(self, state, code, searching)
  local list, reached = resolved(self, state, code), {}
  if searching and accepts(self, list) then return true end
  for _, index in ipairs(list) do
    local instruction = self.program[index]
    if instruction.op == "set" and in_ranges(instruction.ranges, code) then reached[#reached + 1] = index + 1 end
  end
  if searching then reached[#reached + 1] = 1 end
  return state_for(self, closure(self.program, reached), is_word(code) and "word" or "other")
end

local function first_state(self, searching)
  local state = self.first[searching]
  if not state then
    state = state_for(self, closure(self.program, { 1 }), "start")
    self.first[searching] = state
  end
  return state
end

-- A search and a whole match move differently, so each remembers its moves apart.
local function run(self, text, searching)
  local state = first_state(self, searching)
  local field = searching and "searches" or "moves"
  for _, code in utf8.codes(text, true) do
    local moves = state[field]
    if not moves then
      moves = {}
      state[field] = moves
    end
    local target = moves[code]
    if not target then
      target = move(self, state, code, searching)
      moves[code] = target
      self.memory_count = self.memory_count + 1
    end
    if target == true then return true end
    state = target
    if not searching and #state.list == 0 then return false end
  end
  return is_final(self, state)
end

--- Whether the whole text matches. Text that is not UTF-8 matches nothing.
---@param text string
---@return boolean
function Regex:match(text)
  return utf8.len(text) ~= nil and run(self, text, false)
end

--- Whether any part of the text matches. Text that is not UTF-8 matches nothing.
---@param text string
---@return boolean
function Regex:search(text)
  return utf8.len(text) ~= nil and run(self, text, true)
end

local function parse(pattern, iregexp)
  local codes = {}
  for _, code in utf8.codes(pattern) do codes[#codes + 1] = code end
  local self = setmetatable({ codes = codes, at = 1, depth = 0, iregexp = iregexp }, Parser)
  local tree = alternatives(self)
  if peek(self) then fail(self, "')' without its '('") end
  return tree
end

local function build(pattern, iregexp)
  local program = {}
  emit(program, parse(pattern, iregexp))
  local accept = add(program, { op = "accept" })
  local has_assertions = false
  for _, instruction in ipairs(program) do has_assertions = has_assertions or instruction.op == "assert" end
  local self = { program = program, accept = accept, has_assertions = has_assertions }
  self.states, self.memory_count, self.first = {}, 0, {}
  return setmetatable(self, Regex)
end

---@class weir.Regex
---@field match fun(self: weir.Regex, text: string): boolean
---@field search fun(self: weir.Regex, text: string): boolean

--- Compiles a pattern.
---@param pattern string
---@param options? { iregexp: boolean }  iregexp: `.` is that of RFC 9485, any but LF and CR
---@return weir.Regex|nil
---@return string? message  with the column
---@return string? code     invalid
function M.compile(pattern, options)
  if type(pattern) ~= "string" then error("pattern: a string expected, got a " .. type(pattern), 2) end
  if not utf8.len(pattern) then return nil, "pattern: not valid UTF-8", "invalid" end
  local ok, result = pcall(build, pattern, options and options.iregexp)
  if ok then return result end
  if type(result) ~= "table" then error(result, 0) end
  return nil, ("pattern '%s', column %d: %s"):format(pattern:sub(1, 200), result.at, result.what), "invalid"
end

return M
