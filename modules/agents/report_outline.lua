--- Begins a report in the workspace: its title and its headings, under which others write side by side.

local M = {
  kind = "agent", name = "report_outline", api = 1,
  doc = "Begins a report in the workspace: its title, and a heading for each part",
  needs = { report = "string", title = "string", headings = "array" },
  gives = { text = "string" },
  options = { placeholder = { type = "string", default = "(to be written)" } }, -- stands under each heading until then
}

local function one_line(text)
  return (tostring(text):gsub("%s+", " "))
end

--- Posts the outline, in the place of what there is. Does not wait.
---@param ctx weir.Context
---@param input { report: string, title: string, headings: string[] } report: the document's name in the run's scope
---@return { text: string }
function M.execute(ctx, input)
  local parts = { "# " .. one_line(input.title) }
  for _, heading in ipairs(input.headings) do
    parts[#parts + 1] = ("## %s\n\n%s"):format(one_line(heading), ctx.options.placeholder)
  end
  local text = table.concat(parts, "\n\n") .. "\n"
  ctx.workspace:post(input.report, text, { type = "report" })
  return { text = text }
end

return M
