--- Characters of UTF-8 text by kind, and their lower case.
---
--- A compact reading of the Unicode character database: above ASCII a character is a letter unless
--- one of the ranges below says otherwise. Unassigned code points may come out as letters; no text
--- has them. Nothing here waits or fails: a byte that is no UTF-8 counts as one character, "other".

local M = {}

-- Kinds, by first and last code point, sorted. "ideograph" is a character that is a word of its own
-- (Han, kana, and the scripts that write no spaces), "stop" ends a sentence after which a space
-- follows, "full_stop" ends one by itself, "close" may stand between an end and the space, "joiner"
-- is invisible inside words. What is not listed and not ASCII is a "letter".
local RANGES = {
  { 0x80, 0x9F, "other" }, { 0xA0, 0xA0, "space" }, { 0xA1, 0xA9, "other" },
  { 0xAB, 0xAB, "close" }, { 0xAC, 0xAC, "other" }, { 0xAD, 0xAD, "joiner" },
  { 0xAE, 0xB4, "other" }, { 0xB6, 0xB9, "other" }, { 0xBB, 0xBB, "close" }, { 0xBC, 0xBF, "other" },
  { 0xD7, 0xD7, "other" }, { 0xF7, 0xF7, "other" }, { 0x2C2, 0x2C5, "other" }, { 0x2D2, 0x2DF, "other" },
  { 0x300, 0x36F, "mark" }, { 0x37E, 0x37E, "stop" }, { 0x384, 0x385, "other" }, { 0x387, 0x387, "other" },
  { 0x3F6, 0x3F6, "other" }, { 0x482, 0x482, "other" }, { 0x483, 0x489, "mark" }, { 0x55A, 0x55F, "other" },
  { 0x589, 0x589, "full_stop" }, { 0x58A, 0x58F, "other" }, { 0x591, 0x5BD, "mark" }, { 0x5BE, 0x5BE, "other" },
  { 0x5BF, 0x5BF, "mark" }, { 0x5C0, 0x5C0, "other" }, { 0x5C1, 0x5C2, "mark" }, { 0x5C3, 0x5C3, "stop" },
  { 0x5C4, 0x5C5, "mark" }, { 0x5C6, 0x5C6, "other" }, { 0x5C7, 0x5C7, "mark" }, { 0x5F3, 0x5F4, "other" },
  { 0x600, 0x60F, "other" }, { 0x610, 0x61A, "mark" }, { 0x61B, 0x61E, "other" }, { 0x61F, 0x61F, "stop" },
  { 0x64B, 0x65F, "mark" }, { 0x660, 0x669, "digit" }, { 0x66A, 0x66D, "other" }, { 0x670, 0x670, "mark" },
  { 0x6D4, 0x6D4, "stop" }, { 0x6D6, 0x6DC, "mark" }, { 0x6DD, 0x6DE, "other" }, { 0x6DF, 0x6E4, "mark" },
  { 0x6E7, 0x6E8, "mark" }, { 0x6E9, 0x6E9, "other" }, { 0x6EA, 0x6ED, "mark" }, { 0x6F0, 0x6F9, "digit" },
  { 0x6FD, 0x6FE, "other" }, { 0x700, 0x702, "stop" }, { 0x703, 0x70F, "other" }, { 0x730, 0x74A, "mark" },
  { 0x7F6, 0x7F9, "other" }, { 0x900, 0x903, "mark" }, { 0x93A, 0x93C, "mark" }, { 0x93E, 0x94F, "mark" },
  { 0x951, 0x957, "mark" }, { 0x962, 0x963, "mark" }, { 0x964, 0x965, "full_stop" }, { 0x966, 0x96F, "digit" },
  { 0x970, 0x970, "other" }, { 0x9BC, 0x9BC, "mark" }, { 0x9BE, 0x9CD, "mark" }, { 0x9E6, 0x9EF, "digit" },
  { 0x9F2, 0x9F3, "other" }, { 0x9FA, 0x9FB, "other" }, { 0xE01, 0xE30, "ideograph" }, { 0xE31, 0xE31, "mark" },
  { 0xE32, 0xE33, "ideograph" }, { 0xE34, 0xE3A, "mark" }, { 0xE3F, 0xE3F, "other" },
  { 0xE40, 0xE46, "ideograph" }, { 0xE47, 0xE4E, "mark" }, { 0xE4F, 0xE4F, "other" }, { 0xE50, 0xE59, "digit" },
  { 0xE5A, 0xE5B, "other" }, { 0xE81, 0xEB0, "ideograph" }, { 0xEB1, 0xEB1, "mark" },
  { 0xEB2, 0xEB3, "ideograph" }, { 0xEB4, 0xEBC, "mark" }, { 0xEBD, 0xEC6, "ideograph" },
  { 0xEC8, 0xECE, "mark" }, { 0xED0, 0xED9, "digit" }, { 0xF01, 0xF17, "other" }, { 0xF18, 0xF19, "mark" },
  { 0xF1A, 0xF1F, "other" }, { 0xF34, 0xF34, "other" }, { 0xF35, 0xF3F, "mark" }, { 0xF71, 0xF84, "mark" },
  { 0xF85, 0xF85, "other" }, { 0xF86, 0xF87, "mark" }, { 0xF8D, 0xFBC, "mark" }, { 0xFBE, 0xFDA, "other" },
  { 0x1000, 0x102A, "ideograph" }, { 0x102B, 0x103E, "mark" }, { 0x103F, 0x103F, "ideograph" },
  { 0x1040, 0x1049, "digit" }, { 0x104A, 0x104B, "full_stop" }, { 0x104C, 0x104F, "other" },
  { 0x10FB, 0x10FB, "other" }, { 0x135D, 0x135F, "mark" }, { 0x1360, 0x1361, "other" },
  { 0x1362, 0x1362, "full_stop" }, { 0x1363, 0x1366, "other" }, { 0x1367, 0x1368, "full_stop" },
  { 0x1369, 0x137C, "other" }, { 0x1390, 0x1399, "other" }, { 0x1400, 0x1400, "other" },
  { 0x166D, 0x166D, "other" }, { 0x166E, 0x166E, "stop" }, { 0x1680, 0x1680, "space" },
  { 0x169B, 0x169C, "other" }, { 0x16EB, 0x16ED, "other" }, { 0x1780, 0x17B3, "ideograph" },
  { 0x17B4, 0x17D3, "mark" }, { 0x17D4, 0x17D5, "full_stop" }, { 0x17D6, 0x17D6, "other" },
  { 0x17D8, 0x17DB, "other" }, { 0x17DD, 0x17DD, "mark" }, { 0x17E0, 0x17E9, "digit" },
  { 0x17F0, 0x17F9, "other" }, { 0x1800, 0x180A, "other" }, { 0x180B, 0x180F, "joiner" },
  { 0x1810, 0x1819, "digit" }, { 0x1DC0, 0x1DFF, "mark" }, { 0x2000, 0x200A, "space" },
  { 0x200B, 0x200F, "joiner" }, { 0x2010, 0x2017, "other" }, { 0x2018, 0x2019, "close" },
  { 0x201A, 0x201B, "other" }, { 0x201C, 0x201D, "close" }, { 0x201E, 0x2025, "other" },
  { 0x2026, 0x2026, "stop" }, { 0x2027, 0x2027, "other" }, { 0x2028, 0x2029, "space" },
  { 0x202A, 0x202E, "joiner" }, { 0x202F, 0x202F, "space" }, { 0x2030, 0x2039, "other" },
  { 0x203A, 0x203A, "close" }, { 0x203B, 0x203B, "other" }, { 0x203C, 0x203D, "stop" },
  { 0x203E, 0x2046, "other" }, { 0x2047, 0x2049, "stop" }, { 0x204A, 0x205E, "other" },
  { 0x205F, 0x205F, "space" }, { 0x2060, 0x206F, "joiner" }, { 0x2070, 0x2070, "other" },
  { 0x2072, 0x207E, "other" }, { 0x2080, 0x208E, "other" }, { 0x20A0, 0x20CF, "other" },
  { 0x20D0, 0x20FF, "mark" }, { 0x2100, 0x2BFF, "other" }, { 0x2CE5, 0x2CEA, "other" },
  { 0x2CF9, 0x2CFF, "other" }, { 0x2DE0, 0x2DFF, "mark" }, { 0x2E00, 0x2E2D, "other" },
  { 0x2E2E, 0x2E2E, "stop" }, { 0x2E2F, 0x2E7F, "other" }, { 0x2E80, 0x2FDF, "ideograph" },
  { 0x2FF0, 0x2FFF, "other" }, { 0x3000, 0x3000, "space" }, { 0x3001, 0x3001, "other" },
  { 0x3002, 0x3002, "full_stop" }, { 0x3003, 0x3004, "other" }, { 0x3005, 0x3007, "ideograph" },
  { 0x3008, 0x3008, "other" }, { 0x3009, 0x3009, "close" }, { 0x300A, 0x300A, "other" },
  { 0x300B, 0x300B, "close" }, { 0x300C, 0x300C, "other" }, { 0x300D, 0x300D, "close" },
  { 0x300E, 0x300E, "other" }, { 0x300F, 0x300F, "close" }, { 0x3010, 0x3010, "other" },
  { 0x3011, 0x3011, "close" }, { 0x3012, 0x3020, "other" }, { 0x3021, 0x3029, "ideograph" },
  { 0x302A, 0x302F, "mark" }, { 0x3030, 0x3030, "other" }, { 0x3031, 0x303C, "ideograph" },
  { 0x303D, 0x303F, "other" }, { 0x3040, 0x3098, "ideograph" }, { 0x3099, 0x309A, "mark" },
  { 0x309B, 0x309C, "other" }, { 0x309D, 0x309F, "ideograph" }, { 0x30A0, 0x30A0, "other" },
  { 0x30A1, 0x30FA, "ideograph" }, { 0x30FB, 0x30FB, "other" }, { 0x30FC, 0x312F, "ideograph" },
  { 0x3190, 0x319F, "other" }, { 0x31A0, 0x31BF, "ideograph" }, { 0x31C0, 0x31EF, "other" },
  { 0x31F0, 0x31FF, "ideograph" }, { 0x3200, 0x33FF, "other" }, { 0x3400, 0x4DBF, "ideograph" },
  { 0x4DC0, 0x4DFF, "other" }, { 0x4E00, 0x9FFF, "ideograph" }, { 0xA490, 0xA4CF, "other" },
  { 0xA60D, 0xA60D, "other" }, { 0xA60E, 0xA60F, "stop" }, { 0xA66F, 0xA672, "mark" },
  { 0xA673, 0xA673, "other" }, { 0xA674, 0xA67D, "mark" }, { 0xA6F2, 0xA6F7, "other" },
  { 0xA700, 0xA716, "other" }, { 0xA8CE, 0xA8CF, "full_stop" }, { 0xABEB, 0xABEB, "full_stop" },
  { 0xD7FC, 0xF8FF, "other" }, { 0xF900, 0xFAFF, "ideograph" }, { 0xFB1E, 0xFB1E, "mark" },
  { 0xFB29, 0xFB29, "other" }, { 0xFD3E, 0xFD4F, "other" }, { 0xFDFC, 0xFDFF, "other" },
  { 0xFE00, 0xFE0F, "mark" }, { 0xFE10, 0xFE1F, "other" }, { 0xFE20, 0xFE2F, "mark" },
  { 0xFE30, 0xFE51, "other" }, { 0xFE52, 0xFE52, "stop" }, { 0xFE53, 0xFE55, "other" },
  { 0xFE56, 0xFE57, "stop" }, { 0xFE58, 0xFE6F, "other" }, { 0xFEFF, 0xFEFF, "joiner" },
  { 0xFF01, 0xFF01, "full_stop" }, { 0xFF02, 0xFF08, "other" }, { 0xFF09, 0xFF09, "close" },
  { 0xFF0A, 0xFF0D, "other" }, { 0xFF0E, 0xFF0E, "full_stop" }, { 0xFF0F, 0xFF0F, "other" },
  { 0xFF10, 0xFF19, "digit" }, { 0xFF1A, 0xFF1E, "other" }, { 0xFF1F, 0xFF1F, "full_stop" },
  { 0xFF20, 0xFF20, "other" }, { 0xFF3B, 0xFF3C, "other" }, { 0xFF3D, 0xFF3D, "close" },
  { 0xFF3E, 0xFF40, "other" }, { 0xFF5B, 0xFF60, "other" }, { 0xFF61, 0xFF61, "full_stop" },
  { 0xFF62, 0xFF62, "other" }, { 0xFF63, 0xFF63, "close" }, { 0xFF64, 0xFF65, "other" },
  { 0xFF66, 0xFF9F, "ideograph" }, { 0xFFE0, 0xFFFF, "other" }, { 0x1D000, 0x1D3FF, "other" },
  { 0x1F000, 0x1FAFF, "other" }, { 0x1FBF0, 0x1FBF9, "digit" }, { 0x20000, 0x3FFFF, "ideograph" },
  { 0xE0000, 0x10FFFF, "other" },
}

local ASCII = {}
for code = 0, 127 do
  local char = string.char(code)
  ASCII[code] = char:find("%a") and "letter" or char:find("%d") and "digit" or char:find("%s") and "space"
    or char:find("[.!?]") and "stop" or char:find("[%)%]}\"'*_`]") and "close" or "other"
end
ASCII[0] = "other"

local LAST_CACHED = 0xFFFF -- kinds of the basic plane are remembered: at most 65,536 small entries
local kinds = {}

local function search(code)
  local low, high = 1, #RANGES
  while low <= high do
    local middle = (low + high) // 2
    local range = RANGES[middle]
    if code < range[1] then high = middle - 1
    elseif code > range[2] then low = middle + 1
    else return range[3] end
  end
  return "letter"
end

--- Tells what kind of character a code point is. Does not yield.
---@param code integer  a code point; -1 (no character) is "other"
---@return "letter"|"digit"|"mark"|"ideograph"|"stop"|"full_stop"|"close"|"joiner"|"space"|"other"
function M.kind(code)
  if code < 128 then return ASCII[code] or "other" end
  local kind = kinds[code]
  if kind then return kind end
  kind = search(code)
  if code <= LAST_CACHED then kinds[code] = kind end
  return kind
end

local LENGTHS = { { 0xC2, 0xDF, 2 }, { 0xE0, 0xEF, 3 }, { 0xF0, 0xF4, 4 } }

local function length_of(byte)
  for _, row in ipairs(LENGTHS) do
    if byte >= row[1] and byte <= row[2] then return row[3] end
  end
end

--- Reads the character that starts at byte `at`. Does not yield.
---@param text string
---@param at integer  1..#text
---@return integer code  the code point, or -1 for a byte that starts no character
---@return integer next  where the next character starts
function M.decode(text, at)
  local byte = text:byte(at)
  if byte < 128 then return byte, at + 1 end
  local length = length_of(byte)
  if not length or not utf8.len(text, at, at) then return -1, at + 1 end
  return utf8.codepoint(text, at), at + length
end

--- Gives the last byte of the character that byte `at` lies in, so that a cut after it splits none.
--- Does not yield.
---@param text string
---@param at integer  0..#text
---@return integer last
function M.char_end(text, at)
  while at < #text do
    local byte = text:byte(at + 1)
    if byte < 128 or byte > 191 then break end
    at = at + 1
  end
  return at
end

local LOWER, IS_LOWER = {}, {} -- upper-case character to lower-case one; lower-case code points

local function pair(upper, lower)
  LOWER[utf8.char(upper)] = utf8.char(lower)
  IS_LOWER[lower] = true
end

local function shifted(first, last, by)
  for code = first, last do pair(code, code + by) end
end

local function alternating(first, last)
  for code = first, last, 2 do pair(code, code + 1) end
end

shifted(0xC0, 0xD6, 32) -- Latin-1
shifted(0xD8, 0xDE, 32)
alternating(0x100, 0x12E)
alternating(0x132, 0x136)
alternating(0x139, 0x147)
alternating(0x14A, 0x176)
pair(0x178, 0xFF)
alternating(0x179, 0x17D)
alternating(0x1CD, 0x1DB)
alternating(0x1DE, 0x1EE)
alternating(0x1F8, 0x21E)
alternating(0x222, 0x232)
alternating(0x1E00, 0x1E94)
alternating(0x1EA0, 0x1EFE)
pair(0x386, 0x3AC) -- Greek
shifted(0x388, 0x38A, 37)
pair(0x38C, 0x3CC)
shifted(0x38E, 0x38F, 63)
shifted(0x391, 0x3A1, 32)
shifted(0x3A3, 0x3AB, 32)
shifted(0x400, 0x40F, 80) -- Cyrillic
shifted(0x410, 0x42F, 32)
alternating(0x460, 0x480)
alternating(0x48A, 0x4BE)
alternating(0x4D0, 0x52E)
shifted(0x531, 0x556, 48) -- Armenian
shifted(0xFF21, 0xFF3A, 32) -- full width
IS_LOWER[0xDF], IS_LOWER[0x3C2] = true, true -- sharp s and final sigma have no single capital

--- Tells whether a code point is a lower-case letter of a script that has two cases.
---@param code integer
---@return boolean
function M.is_lower(code)
  if code < 128 then return code >= 97 and code <= 122 end
  return IS_LOWER[code] == true
end

--- Tells whether a code point is an upper-case letter.
---@param code integer
---@return boolean
function M.is_upper(code)
  if code < 128 then return code >= 65 and code <= 90 end
  return code > 127 and code < 0x110000 and LOWER[utf8.char(code)] ~= nil
end

--- Gives text in lower case: Latin, Greek, Cyrillic, Armenian and full-width letters. Does not yield.
---@param text string
---@return string
function M.lower(text)
  local lower = text:lower()
  if not lower:find("[\195-\244]") then return lower end
  return (lower:gsub("[\195-\244][\128-\191]+", LOWER))
end

return M
