--- What a terminal sends, taken apart: keys, pasted texts, the interrupt key. Source of the sequences: ECMA-48 and
--- xterm's control sequences (bracketed paste mode). Pure; never yields.

local M = {}

local PASTE_BEGIN, PASTE_END = "\27[200~", "\27[201~"
local INTERRUPT = "\3"

--- What turns bracketed paste on and off.
M.paste_on, M.paste_off = "\27[?2004h", "\27[?2004l"

-- The last byte of the escape sequence at a byte; nil when it is not whole.
local function sequence_end(bytes, at)
  local second = bytes:sub(at + 1, at + 1)
  if second == "" then return nil end
  if second == "[" then return select(2, bytes:find("^\27%[[\48-\63]*[\32-\47]*[\64-\126]", at)) end
  if second == "O" then return #bytes >= at + 2 and at + 2 or nil end
  return at + 1
end

-- How many bytes at the end are the beginning of a character.
local function cut_off(bytes)
  for back = 1, math.min(3, #bytes) do
    local byte = bytes:byte(-back)
    if byte >= 0xC0 then
      local needs = byte >= 0xF0 and 4 or byte >= 0xE0 and 3 or 2
      return needs > back and back or 0
    end
    if byte < 0x80 then return 0 end
  end
  return 0
end

local function plain_text(pasted)
  return (pasted:gsub("\r\n", "\n"):gsub("\r", "\n"):gsub("\t", "  "):gsub("[\0-\9\11-\31\127]", ""))
end

--- Takes bytes apart.
---@param bytes string
---@return { kind: "keys"|"paste"|"interrupt", text: string }[] pieces in order
---@return string rest what is not whole yet
---@return boolean is_paste the rest is a text that is being pasted: its end will come
function M.split(bytes)
  local pieces, keys, at = {}, {}, 1
  local function flush()
    if #keys > 0 then pieces[#pieces + 1] = { kind = "keys", text = table.concat(keys) } end
    keys = {}
  end
  while at <= #bytes do
    local special = bytes:find("[\27\3]", at)
    if special ~= at then
      local text = bytes:sub(at, (special or 0) - 1)
      local lost = special and 0 or cut_off(text)
      keys[#keys + 1] = text:sub(1, #text - lost)
      if lost > 0 then
        flush()
        return pieces, text:sub(-lost), false
      end
      at = at + #text
    elseif bytes:sub(at, at) == INTERRUPT then
      flush()
      pieces[#pieces + 1] = { kind = "interrupt", text = INTERRUPT }
      at = at + 1
    elseif bytes:sub(at, at + #PASTE_BEGIN - 1) == PASTE_BEGIN then
      flush()
      local from, to = bytes:find(PASTE_END, at, true)
      if not from then return pieces, bytes:sub(at), true end
      pieces[#pieces + 1] = { kind = "paste", text = plain_text(bytes:sub(at + #PASTE_BEGIN, from - 1)) }
      at = to + 1
    else
      local last = sequence_end(bytes, at)
      if not last then
        flush()
        return pieces, bytes:sub(at), false
      end
      keys[#keys + 1] = bytes:sub(at, last)
      at = last + 1
    end
  end
  flush()
  return pieces, "", false
end

return M
