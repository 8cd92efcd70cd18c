--- Text for people: durations, tables, bars, shortened lines. Pure.

local visible = require "weir.text.visible"

local M = {}

local MARK = "\27%[[%d;]*m" -- of a colour

--- Seconds in a few characters: `<1 ms`, `12 ms`, `3.2 s`, `2 m 05 s`, `1 h 12 m`, `3 d 4 h`.
---@param seconds number
---@return string
function M.duration(seconds)
  if seconds < 0.0005 then return "<1 ms" end
  if seconds < 0.9995 then return ("%.0f ms"):format(seconds * 1000) end
  if seconds < 59.95 then return ("%.1f s"):format(seconds) end
  local whole = math.floor(seconds + 0.5)
  if whole < 3600 then return ("%d m %02d s"):format(whole // 60, whole % 60) end
  if whole < 86400 then return ("%d h %02d m"):format(whole // 3600, whole % 3600 // 60) end
  return ("%d d %d h"):format(whole // 86400, whole % 86400 // 3600)
end

--- A number of bytes: `812 B`, `1.5 MiB`.
---@param count number
---@return string
function M.bytes(count)
  local unit = 1
  local units = { "B", "KiB", "MiB", "GiB", "TiB" }
  while count >= 1024 and unit < #units do
    count, unit = count / 1024, unit + 1
  end
  return unit == 1 and ("%d B"):format(count) or ("%.1f %s"):format(count, units[unit])
end

--- `1 step`, `2 steps`.
---@param count integer
---@param noun string
---@param plural string|nil
---@return string
function M.count(count, noun, plural)
  return ("%d %s"):format(count, count == 1 and noun or plural or noun .. "s")
end

--- How many columns text takes, colours not counted; letters of double width count once.
---@param text string
---@return integer
function M.width(text)
  local bare = text:gsub(MARK, "")
  return utf8.len(bare) or #bare
end

--- Text that cannot move the cursor, change the terminal or turn the direction of writing.
---@param text string
---@return string
M.safe = visible.safe

--- One line of text: what follows the first line is left out.
---@param text string
---@return string
function M.first_line(text)
  return M.safe((text:match "^[^\n]*"):gsub("\t", "  "))
end

--- The lines of a traceback that lie in code of the user: those above the run engine.
---@param traceback string
---@return string[]
function M.trace_lines(traceback)
  local lines = {}
  for line in traceback:gmatch "[^\n]+" do
    if line:find "^%s*weir/run/" or line:find "^%s*weir/flow/" then break end
    local is_noise = line:find "^stack traceback" or line:find "%[C%]: in function 'error'" or line:find "in function 'weir.failure.raise'$"
    if not is_noise and line:find "^%s" then lines[#lines + 1] = M.safe((line:gsub("^%s+", ""))) end
  end
  return lines
end

--- Text of at most `width` columns; the end is cut. For text without colours.
---@param text string
---@param width integer
---@param dots string|nil what stands for the rest
---@return string
function M.shorten(text, width, dots)
  dots = dots or "…"
  if M.width(text) <= width then return text end
  local keep = width - M.width(dots)
  if keep < 1 then return "" end
  if not utf8.len(text) then return text:sub(1, keep) .. dots end
  return text:sub(1, utf8.offset(text, keep + 1) - 1) .. dots
end

--- A line that a terminal of so many columns does not break; one that is too long loses its colours and end.
---@param line string
---@param columns integer
---@param dots string
---@return string
function M.fit(line, columns, dots)
  if M.width(line) < columns then return line end
  local bare = line:gsub(MARK, "")
  return M.shorten(bare, columns - 1, dots)
end

--- Text filled up with spaces to `width` columns.
---@param text string
---@param width integer
---@return string
function M.pad(text, width)
  return text .. (" "):rep(width - M.width(text))
end

local function widths_of(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for column, cell in ipairs(row) do widths[column] = math.max(widths[column] or 0, M.width(cell)) end
  end
  return widths
end

--- Rows of cells as lines with aligned columns.
---@param rows string[][]
---@param align table<integer, "right">|nil by column
---@return string[]
function M.columns(rows, align)
  local widths, lines = widths_of(rows), {}
  for index, row in ipairs(rows) do
    local cells = {}
    for column, cell in ipairs(row) do
      local space = (" "):rep(widths[column] - M.width(cell))
      local is_right = align and align[column] == "right"
      cells[column] = is_right and space .. cell or cell .. space
    end
    lines[index] = table.concat(cells, "  "):gsub("%s+$", "")
  end
  return lines
end

--- A bar of `width` columns.
---@param share number 0..1
---@param width integer
---@param signs { full: string, empty: string }
---@return string
function M.bar(share, width, signs)
  local full = math.floor(math.max(0, math.min(1, share)) * width + 0.5)
  return signs.full:rep(full) .. signs.empty:rep(width - full)
end

return M
