--- Writes a table as a page of Markdown: what its columns amount to, and its first rows.

local markdown = require "weir.text.markdown"

local M = {
  kind = "agent", name = "table_page", api = 1,
  doc = "Writes a table as Markdown, with sums of its columns",
  needs = { table = "object" },
  gives = { table_page = "string" },
  options = {
    rows = { type = "integer", minimum = 0, default = 20 }, -- shown of the table
  },
}

local function line(cells) return "| " .. table.concat(cells, " | ") .. " |" end

local function head_of(of)
  local names, rules = {}, {}
  for index, name in ipairs(of.columns) do
    names[index], rules[index] = markdown.escape(name), of.kinds[index] == "number" and "---:" or "---"
  end
  return { line(names), line(rules) }
end

local function add_rows(lines, of, most)
  for number = 1, math.min(most, #of.rows) do
    local cells = {}
    for index, cell in ipairs(of.rows[number]) do cells[index] = of.kinds[index] == "number" and cell or markdown.escape(cell) end
    lines[#lines + 1] = line(cells)
  end
end

local function shown(number)
  if number == math.floor(number) and math.abs(number) < 2 ^ 53 then return ("%d"):format(number) end
  return ("%.6g"):format(number)
end

local function amounts(of, index)
  local count, sum, least, most = 0, 0, math.huge, -math.huge
  for _, row in ipairs(of.rows) do
    local number = tonumber(row[index])
    if number then
      count, sum, least, most = count + 1, sum + number, math.min(least, number), math.max(most, number)
    end
  end
  if count == 0 then return nil end
  return ("%s: %s in all, %s on average, from %s to %s"):format(markdown.escape(of.columns[index]), shown(sum), shown(sum / count),
    shown(least), shown(most))
end

local function add_amounts(lines, of)
  for index, kind in ipairs(of.kinds) do
    local text = kind == "number" and amounts(of, index)
    if text then lines[#lines + 1] = "- " .. text end
  end
end

--- Writes the page. Does not wait.
---@param ctx weir.Context
---@param input { table: { source: string, columns: string[], kinds: string[], rows: string[][] } }
---@return { table_page: string }?
---@return string? message
---@return string? code  invalid (no table as `csv_table` gives it)
function M.execute(ctx, input)
  local of = input.table
  if type(of) ~= "table" or type(of.columns) ~= "table" or type(of.rows) ~= "table" or type(of.kinds) ~= "table" then
    return nil, "table_page: input.table has to have columns, kinds and rows, as agent 'csv_table' gives them", "invalid"
  end
  local lines = { "## " .. markdown.escape(of.source or "table"), "", ("%d rows."):format(#of.rows) }
  add_amounts(lines, of)
  lines[#lines + 1] = ""
  for _, one in ipairs(head_of(of)) do lines[#lines + 1] = one end
  add_rows(lines, of, ctx.options.rows)
  local hidden = #of.rows - ctx.options.rows
  if hidden > 0 then
    lines[#lines + 1] = ""
    lines[#lines + 1] = ("%d more rows stand in the file."):format(hidden)
  end
  return { table_page = table.concat(lines, "\n") .. "\n" }
end

return M
