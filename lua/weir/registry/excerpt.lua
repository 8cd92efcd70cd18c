--- The lines around a place in a file, for people who look for what is wrong.

local M = {}

local AROUND = 2    -- lines before and after
local WIDTH = 160   -- bytes of a line that are shown

local function lines_of(text)
  local lines = {}
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  for line in text:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

--- The lines around a line, numbered, with a mark before it.
---@param text string
---@param line integer from 1
---@return string|nil nil: there is no such line
function M.of(text, line)
  local lines = lines_of(text)
  if not lines[line] then return nil end
  local last = math.min(#lines, line + AROUND)
  local digits = #tostring(last)
  local shown = {}
  for number = math.max(1, line - AROUND), last do
    local mark = number == line and ">" or " "
    shown[#shown + 1] = (("%s %" .. digits .. "d | %s"):format(mark, number, lines[number]:sub(1, WIDTH)):gsub("%s+$", ""))
  end
  return table.concat(shown, "\n")
end

--- The same of a file as it is now.
---@param file string|nil
---@param line integer|nil
---@return string|nil
function M.of_file(file, line)
  local handle = file and line and io.open(file, "rb")
  if not handle then return nil end
  local text = handle:read "a"
  handle:close()
  return text and M.of(text, line)
end

return M
