--- Reads a CSV file as a table: its columns by name, its rows, which columns hold numbers.

local weir = require "weir"
local csv = require "weir.text.csv"
local roots = require "weir.port.roots"

local M = {
  kind = "agent", name = "csv_table", api = 1,
  doc = "Reads a CSV file as a table",
  needs = { csv_file = "string" },
  gives = { table = "object" },
  options = {
    roots = { type = "array", items = { type = "string" }, minItems = 1, default = weir.list({ "." }) },
    separator = "string?",                                              -- `,` `;` tab `|`; guessed without
    max_bytes = { type = "integer", minimum = 0, default = 16777216 },
    max_rows = { type = "integer", minimum = 1, default = 100000 },
  },
}

local function number_of(text)
  return text:find "^%s*[+-]?%d[%d.]*[eE]?[+-]?%d*%s*$" and tonumber(text) or nil
end

-- A column holds numbers when all of its cells that are not blank are numbers.
local function kinds_of(columns, rows)
  local kinds = {}
  for index = 1, #columns do
    local numbers, others = 0, 0
    for _, row in ipairs(rows) do
      if row[index]:find "%S" then
        if number_of(row[index]) then numbers = numbers + 1 else others = others + 1 end
      end
    end
    kinds[index] = numbers > 0 and others == 0 and "number" or "text"
  end
  return kinds
end

-- Rows as long as the head; what a row has too much is refused, what it lacks is blank.
local function even(columns, rows)
  for number, row in ipairs(rows) do
    if #row > #columns then return ("row %d has %d fields, and the head has %d"):format(number + 1, #row, #columns) end
    for index = #row + 1, #columns do row[index] = "" end
  end
end

--- Reads the file. Waits for the disk.
---@param ctx weir.Context
---@param input { csv_file: string }
---@return { table: { source: string, columns: string[], kinds: ("number"|"text")[], rows: string[][] } }?
---@return string? message
---@return string? code  not_found, denied, limit (larger than max_bytes, or more rows than max_rows), invalid (no CSV)
function M.execute(ctx, input)
  local text, message, code = roots.read(ctx.root, ctx.options.roots, input.csv_file, ctx.options.max_bytes)
  if not text then return nil, ("csv_table: %s"):format(message), code end
  local rows
  rows, message, code = csv.read(text, { separator = ctx.options.separator })
  if not rows then return nil, ("csv_table: '%s': %s"):format(input.csv_file, message), code end
  if #rows == 0 then
    return nil, ("csv_table: '%s' is empty; a head with the names of its columns is expected"):format(input.csv_file), "invalid"
  end
  local columns = table.remove(rows, 1)
  if #rows > ctx.options.max_rows then
    return nil, ("csv_table: '%s' has %d rows, and %d are read at most"):format(input.csv_file, #rows, ctx.options.max_rows), "limit"
  end
  local wrong = even(columns, rows)
  if wrong then return nil, ("csv_table: '%s': %s"):format(input.csv_file, wrong), "invalid" end
  for index, row in ipairs(rows) do rows[index] = weir.list(row) end
  return { table = { source = input.csv_file, columns = weir.list(columns), kinds = weir.list(kinds_of(columns, rows)),
    rows = weir.list(rows) } }
end

return M
