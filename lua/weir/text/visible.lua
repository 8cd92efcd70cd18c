--- Text that shows what it is: characters that move a terminal's cursor, turn the direction of writing or
--- cannot be seen are written out. Source: Boucher and Anderson, "Trojan Source: Invisible Vulnerabilities",
--- USENIX Security 2023, for what turns the direction. Pure; never yields.

local M = {}

-- First and last code point, above ASCII.
local STEERING = {
  { 0x80, 0x9F }, { 0x61C, 0x61C }, { 0x200E, 0x200F }, { 0x2028, 0x202E }, { 0x2066, 0x2069 },
}
-- What has no width and no ink of its own: format characters, fillers, selectors, tags.
local UNSEEN = {
  { 0xAD, 0xAD }, { 0x34F, 0x34F }, { 0x115F, 0x1160 }, { 0x17B4, 0x17B5 }, { 0x180B, 0x180F }, { 0x200B, 0x200D },
  { 0x2060, 0x2065 }, { 0x206A, 0x206F }, { 0x3164, 0x3164 }, { 0xFE00, 0xFE0F }, { 0xFEFF, 0xFEFF },
  { 0xFFA0, 0xFFA0 }, { 0xFFF9, 0xFFFB }, { 0x1D173, 0x1D17A }, { 0xE0000, 0xE0FFF },
}
-- A character above ASCII that begins with one of the bytes these begin with.
local CANDIDATE = "[\xC2\xCD\xD8\xE1\xE2\xE3\xEF\xF0\xF3][\x80-\xBF]+"

local function is_in(ranges, code)
  for _, range in ipairs(ranges) do
    if code >= range[1] and code <= range[2] then return true end
  end
  return false
end

local function written_out(char)
  return ("\\u{%x}"):format(utf8.codepoint(char))
end

local function safe_char(char)
  return is_in(STEERING, utf8.codepoint(char)) and written_out(char) or nil
end

local function plain_char(char)
  local code = utf8.codepoint(char)
  return (is_in(STEERING, code) or is_in(UNSEEN, code)) and written_out(char) or nil
end

local function control(byte)
  return ("\\x%02x"):format(byte:byte())
end

local function escaped(text, controls, replace)
  if text:find "[\128-\255]" then
    text = utf8.len(text) and text:gsub(CANDIDATE, replace) or text:gsub("[\128-\255]", "?")
  end
  return (text:gsub(controls, control))
end

--- Text that cannot move the cursor, change the terminal or turn the direction of writing. Tabs and ends of
--- lines stay; of text that is no UTF-8 every byte above ASCII becomes a question mark.
---@param text string
---@return string
function M.safe(text)
  return escaped(text, "[\0-\8\11-\31\127]", safe_char)
end

--- As `safe`, on one line, and with everything written out that cannot be seen.
---@param text string
---@return string
function M.plain(text)
  return escaped(text, "[\0-\31\127]", plain_char)
end

--- Text that is UTF-8: a byte that is none is written out, as `\xff`.
---@param text string
---@return string
function M.utf8(text)
  local parts, at = {}, 1
  while true do
    local length, wrong = utf8.len(text, at)
    if length then break end
    parts[#parts + 1] = text:sub(at, wrong - 1) .. control(text:sub(wrong, wrong))
    at = wrong + 1
  end
  if at == 1 then return text end
  return table.concat(parts) .. text:sub(at)
end

--- The beginning of a text, cut between two characters.
---@param text string
---@param size integer bytes at most
---@return string
function M.head(text, size)
  if #text <= size then return text end
  while size > 0 and text:byte(size + 1) & 0xC0 == 0x80 do size = size - 1 end
  return text:sub(1, size)
end

return M
