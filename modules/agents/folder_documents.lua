--- Finds the documents of a folder, by kind: tables and pages.

local weir = require "weir"
local files = require "weir.port.files"
local roots = require "weir.port.roots"

local M = {
  kind = "agent", name = "folder_documents", api = 1,
  doc = "Finds the CSV and Markdown files of a folder",
  needs = { folder = "string", exclude = "string?" },
  gives = { csv_files = "string[]", markdown_files = "string[]" },
  options = {
    roots = { type = "array", items = { type = "string" }, minItems = 1, default = weir.list({ "." }) },
    recursive = { type = "boolean", default = true },
  },
}

local function is_same(path, other)
  return other ~= nil and path:gsub("^%./+", "") == other:gsub("^%./+", "")
end

local function below(folder, path)
  return folder == "." and path or folder:gsub("/+$", "") .. "/" .. path
end

--- Lists them, each with the folder in front, sorted. Waits for the disk.
---@param ctx weir.Context
---@param input { folder: string, exclude: string? }  exclude: a path that is left out
---@return { csv_files: string[], markdown_files: string[] }?
---@return string? message
---@return string? code  not_found (no such folder, or no document in it), denied, invalid
function M.execute(ctx, input)
  local real, message, code = roots.find(ctx.root, ctx.options.roots, input.folder)
  if not real then return nil, "folder_documents: " .. message, code end
  local found
  found, message, code = files.list(real, { recursive = ctx.options.recursive })
  if not found then return nil, message, code end
  local tables, pages = {}, {}
  for _, name in ipairs(found) do
    local path = below(input.folder, name)
    local kind = name:lower():match "%.(%w+)$"
    local list = kind == "csv" and tables or (kind == "md" or kind == "markdown") and pages
    if list and not is_same(path, input.exclude) then list[#list + 1] = path end
  end
  if #tables + #pages == 0 then
    return nil, ("folder_documents: no CSV and no Markdown file is below '%s'"):format(input.folder), "not_found"
  end
  return { csv_files = weir.list(tables), markdown_files = weir.list(pages) }
end

return M
