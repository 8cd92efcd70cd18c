--- Comma-separated values: RFC 4180, and what is found in practice besides: other separators, line ends of any kind, blanks
--- around a quoted field, a byte order mark. One pass. Pure.

local M = {}

local SEPARATORS = { ",", ";", "\t", "|" }
local LOOKED_AT = 4096 -- bytes, when the separator is guessed

-- The separator that stands most often outside of quotes in the first line.
local function guess(text)
  local line = text:sub(1, LOOKED_AT):match "^[^\r\n]*":gsub('"[^"]*"', "")
  local best, most = ",", 0
  for _, separator in ipairs(SEPARATORS) do
    local count = select(2, line:gsub(separator == "|" and "|" or separator, ""))
    if count > most then best, most = separator, count end
  end
  return best
end

-- A quoted field from its first quote on: its text, and the byte behind its last quote.
local function quoted(text, at)
  local parts, from = {}, at + 1
  while true do
    local quote = text:find('"', from, true)
    if not quote then return nil, ("the quote at byte %d is not closed"):format(at) end
    parts[#parts + 1] = text:sub(from, quote - 1)
    if text:sub(quote + 1, quote + 1) ~= '"' then return table.concat(parts), quote + 1 end
    parts[#parts + 1] = '"'
    from = quote + 2
  end
end

local function field(text, at, plain)
  local start = text:match('^[ ]*()"', at)
  if not start then
    local value, behind = text:match(plain, at)
    return value, behind
  end
  local value, behind = quoted(text, start)
  if not value then return nil, behind end
  return value, text:match("^[ ]*()", behind)
end

--- Reads all rows. Blank lines are left out.
---@param text string
---@param options { separator: string? }|nil one of `,` `;` tab `|`; guessed by default
---@return string[][]|nil rows
---@return string|nil message  with the number of the row, from 1
---@return string|nil code     invalid
function M.read(text, options)
  if text:sub(1, 3) == "\xEF\xBB\xBF" then text = text:sub(4) end
  local separator = options and options.separator or guess(text)
  local plain = "^([^\r\n" .. separator .. "]*)()"
  local rows, row, at = {}, {}, 1
  while at <= #text do
    local value, behind = field(text, at, plain)
    if not value then return nil, ("row %d: %s"):format(#rows + 1, behind), "invalid" end
    row[#row + 1] = value
    local char = text:sub(behind, behind)
    if char == separator then
      at = behind + 1
      if at > #text then row[#row + 1] = "" end
    elseif char == "" or char == "\n" or char == "\r" then
      if #row > 1 or row[1] ~= "" then rows[#rows + 1] = row end
      row, at = {}, behind + (text:sub(behind, behind + 1) == "\r\n" and 2 or 1)
    else
      return nil, ("row %d: text stands behind a quoted field at byte %d"):format(#rows + 1, behind), "invalid"
    end
  end
  if #row > 0 and (#row > 1 or row[1] ~= "") then rows[#rows + 1] = row end
  return rows
end

return M
