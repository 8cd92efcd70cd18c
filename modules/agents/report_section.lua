--- Writes one section of a report that stands in the workspace. It changes the lines below its own heading and no
--- others, and says so with a merge of texts: those who write other sections meanwhile lose nothing.

local M = {
  kind = "agent", name = "report_section", api = 1,
  doc = "Writes one section of a report in the workspace, while others write theirs",
  needs = { report = "string", heading = "string", text = "string?", items = "array?" },
  gives = { report = "string", heading = "string", words = "integer" },
  options = {
    limit = { type = "integer", minimum = 1, default = 12 },   -- items at most
    arbiter = "string?",                                       -- the agent that settles it when two write the same lines
  },
}

local function is_heading(line)
  return line:find "^##? " ~= nil
end

-- Where a section begins and ends: the place of its heading, and of the next one.
local function bounds_of(lines, heading)
  local first
  for at, line in ipairs(lines) do
    if first and is_heading(line) then return first, at end
    if line == "## " .. heading then first = at end
  end
  return first, first and #lines + 1
end

local function with_section(text, heading, body)
  local lines, made = {}, {}
  for line in (text:gsub("\n*$", "\n")):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  local first, after = bounds_of(lines, heading)
  if not first then return ("%s\n## %s\n\n%s\n"):format(text:gsub("\n*$", "\n"), heading, body) end
  table.move(lines, 1, first, 1, made)
  made[#made + 1] = ""
  made[#made + 1] = body
  if after <= #lines then made[#made + 1] = "" end
  table.move(lines, after, #lines, #made + 1, made)
  return table.concat(made, "\n") .. "\n"
end

local function item_text(item)
  if type(item) ~= "table" then return tostring(item) end
  return tostring(item.word or item.text or item.name or "")
end

-- What somebody else's words would do to the headings of the report they do in their own section only.
local function without_headings(text)
  return (("\n" .. text):gsub("\n(#+ )", "\n\\%1"):sub(2))
end

local function body_of(input, limit)
  local parts = {}
  if input.text and input.text ~= "" then parts[1] = without_headings(input.text:gsub("%s+$", "")) end
  local lines = {}
  for index = 1, math.min(limit, #(input.items or {})) do lines[index] = "- " .. item_text(input.items[index]):gsub("\n", " ") end
  if #lines > 0 then parts[#parts + 1] = table.concat(lines, "\n") end
  return table.concat(parts, "\n\n")
end

--- Writes the section. Does not wait; the merge happens when the step's outcome is kept.
---@param ctx weir.Context
---@param input { report: string, heading: string, text: string?, items: any[]? } items: texts, or tables with word, text or name
---@return { report: string, heading: string, words: integer }?
---@return string? message
---@return string? code `not_found` (no report has been begun), `invalid` (nothing to write)
function M.execute(ctx, input)
  local found = ctx.workspace:get(input.report)
  if not found then return nil, ("report_section: there is no '%s' to write in"):format(input.report), "not_found" end
  local body = body_of(input, ctx.options.limit)
  if body == "" then return nil, "report_section: neither text nor items to write under " .. input.heading, "invalid" end
  ctx.workspace:post(input.report, with_section(found.value, input.heading, body), { merge = "text", arbiter = ctx.options.arbiter })
  local _, words = body:gsub("%S+", "")
  return { report = input.report, heading = input.heading, words = words }
end

return M
