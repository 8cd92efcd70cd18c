--- Joins pages into one report, with a list of what is in it.

local markdown = require "weir.text.markdown"

local M = {
  kind = "agent", name = "join_report", api = 1,
  doc = "Joins pages of tables and documents into one report",
  needs = { table_pages = "string[]", document_pages = "string[]", title = "string?" },
  gives = { report = "string" },
}

local function heading_of(page) return page:match "^#+ ([^\n]*)" or "a page" end

local function add_contents(lines, title, pages)
  if #pages == 0 then return end
  lines[#lines + 1] = ("- %s"):format(title)
  for _, page in ipairs(pages) do lines[#lines + 1] = "  - " .. heading_of(page) end
end

--- Joins them, in the order given, documents first. Does not wait.
---@param _ weir.Context
---@param input { table_pages: string[], document_pages: string[], title: string? }
---@return { report: string }
function M.execute(_, input)
  local lines = { "# " .. markdown.escape(input.title or "Report"), "" }
  add_contents(lines, "Documents", input.document_pages)
  add_contents(lines, "Tables", input.table_pages)
  for _, pages in ipairs { input.document_pages, input.table_pages } do
    for _, page in ipairs(pages) do
      lines[#lines + 1] = ""
      lines[#lines + 1] = (page:gsub("\n+$", ""))
    end
  end
  return { report = table.concat(lines, "\n") .. "\n" }
end

return M
