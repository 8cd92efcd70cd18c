--- Names in the source of a skill that no honest skill needs. Pure.

local M = {}

local FORBIDDEN = {}
for name in ([[debug io os package require dofile loadfile load loadstring collectgarbage getfenv setfenv newproxy module
  ffi jit]]):gmatch "%S+" do FORBIDDEN[name] = true end

local FINDINGS = 20
local TURN = 500 -- names and texts that are looked at before others have a turn

local function end_of_long(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, last = text:find("]" .. level .. "]", at, true)
  return last or #text
end

local function end_of_quoted(text, at)
  local mark, place = text:sub(at, at), at + 1
  while place <= #text do
    local char = text:sub(place, place)
    if char == "\\" then place = place + 1 elseif char == mark or char == "\n" then return place end
    place = place + 1
  end
  return #text
end

-- The end of a comment or of a text in quotes that begins here, or nil.
local function end_of_quiet(text, at)
  local char = text:sub(at, at)
  if text:sub(at, at + 1) == "--" then
    return end_of_long(text, at + 2) or (text:find("\n", at, true) or #text + 1) - 1
  elseif char == '"' or char == "'" then return end_of_quoted(text, at)
  elseif char == "[" then return end_of_long(text, at) end
end

-- A name after a dot or colon, or one that something is assigned to, is a field or a variable of the code's own.
local function is_field(text, at, size)
  return text:sub(math.max(1, at - 40), at - 1):find "[%.:]%s*$" ~= nil or text:find("^%s*=[^=]", at + size) ~= nil
end

--- Calls `visit(name, at)` for each name of the text that is used: neither in a comment nor in a string, nor of a field. `pause` is
--- called now and then.
local function each_name(text, visit, pause)
  local at, looked = text:find("[%a_%d\"'%[%-]", 1), 0
  while at do
    local word = text:match("^[%w_]+", at)
    local last = word and at + #word - 1 or end_of_quiet(text, at) or at
    if word and not word:find "^%d" and not is_field(text, at, #word) then visit(word, at) end
    looked = looked + 1
    if pause and looked % TURN == 0 then pause() end
    at = text:find("[%a_%d\"'%[%-]", last + 1)
  end
end

local function line_of(text, at)
  return 1 + select(2, text:sub(1, at):gsub("\n", ""))
end

--- Names in a source that a skill has no use for. Waits only as `pause` does.
---@param source string
---@param pause nil|fun() lets others have a turn
---@return { line: integer, name: string }[] at most 20
function M.find(source, pause)
  local found = {}
  each_name(source, function(name, at)
    if FORBIDDEN[name] and #found < FINDINGS then found[#found + 1] = { line = line_of(source, at), name = name } end
  end, pause)
  return found
end

return M
