-- Reads comma-separated values as RFC 4180 has them: quoted fields may hold separators, line ends and doubled quotes.

local M = {}

local function field_in_quotes(text, at)
  local parts = {}
  while true do
    local stop = text:find('"', at, true)
    if not stop then return nil, "a quote is not closed" end
    parts[#parts + 1] = text:sub(at, stop - 1)
    if text:sub(stop + 1, stop + 1) ~= '"' then return table.concat(parts), stop + 1 end
    parts[#parts + 1] = '"'
    at = stop + 2
  end
end

local function bare_field(text, at, separator)
  local stop = at
  while stop <= #text do
    local char = text:sub(stop, stop)
    if char == separator or char == "\n" or char == "\r" then break end
    stop = stop + 1
  end
  return text:sub(at, stop - 1), stop
end

-- The records of a text: lists of fields.
local function records(text, separator)
  local list, record, at = {}, {}, 1
  while at <= #text do
    local value, after
    if text:sub(at, at) == '"' then value, after = field_in_quotes(text, at + 1)
    else value, after = bare_field(text, at, separator) end
    if not value then return nil, ("record %d: %s"):format(#list + 1, after) end
    record[#record + 1] = value
    local char = text:sub(after, after)
    if char == separator then
      at = after + 1
      if at > #text then record[#record + 1] = "" end
    elseif char == "\r" or char == "\n" or char == "" then
      list[#list + 1], record = record, {}
      at = after + (text:sub(after, after + 1) == "\r\n" and 2 or 1)
    else
      return nil, ("record %d: text follows a closed quote"):format(#list + 1)
    end
  end
  if #record > 0 then list[#list + 1] = record end
  return list
end

function M.execute(ctx, input)
  if type(input.text) ~= "string" then return nil, "read_csv: input.text is required (string)", "invalid" end
  local text = input.text:gsub("^\239\187\191", "")
  local list, problem = records(text, ctx.options.separator)
  if not list then return nil, "read_csv: " .. problem, "invalid" end
  local columns = table.remove(list, 1) or {}
  local rows = {}
  for number, record in ipairs(list) do
    if #record ~= #columns and not (#record == 1 and record[1] == "") then
      return nil, ("read_csv: record %d has %d fields, the head has %d"):format(number + 1, #record, #columns), "invalid"
    end
    if #record == #columns then
      local row = {}
      for index, column in ipairs(columns) do row[column] = record[index] end
      rows[#rows + 1] = row
    end
  end
  return { columns = json.list(columns), rows = json.list(rows), count = #rows }
end

return M
