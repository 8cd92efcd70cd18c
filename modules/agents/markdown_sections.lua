--- Reads a Markdown file as its sections: the headings, and the text below each.

local weir = require "weir"
local markdown = require "weir.text.markdown"
local roots = require "weir.port.roots"

local M = {
  kind = "agent", name = "markdown_sections", api = 1,
  doc = "Reads a Markdown file as its sections",
  needs = { markdown_file = "string" },
  gives = { document = "object" },
  options = {
    roots = { type = "array", items = { type = "string" }, minItems = 1, default = weir.list({ "." }) },
    max_bytes = { type = "integer", minimum = 0, default = 16777216 },
  },
}

local function section_at(title, level, first, number) return { title = title, level = level, line = number, first = first } end

-- Sections begin at headings; what stands before the first one belongs to the file itself.
local function sections_of(text)
  local sections = { section_at(nil, 0, 1, 1) }
  markdown.scan(text, { markdown = true }, function(kind, first, last, number, level, title)
    if kind ~= "heading" then return end
    sections[#sections].last = first - 1
    sections[#sections + 1] = section_at(markdown.plain(title), level, last + 1, number)
  end)
  sections[#sections].last = #text
  return sections
end

local function has_text(section) return section.title ~= nil or section.text:find "%S" ~= nil end

--- Reads the file. Waits for the disk.
---@param ctx weir.Context
---@param input { markdown_file: string }
---@return { document: { source: string, title: string, sections: { title: string?, level: integer, line: integer,
---  text: string }[] } }?  title: the first heading, else the file's name
---@return string? message
---@return string? code  not_found, denied, limit, invalid (no UTF-8)
function M.execute(ctx, input)
  local text, message, code = roots.read(ctx.root, ctx.options.roots, input.markdown_file, ctx.options.max_bytes)
  if not text then return nil, "markdown_sections: " .. message, code end
  local list, title = {}, nil
  for _, section in ipairs(sections_of(text)) do
    local found = { title = section.title, level = section.level, line = section.line, text = text:sub(section.first, section.last) }
    title = title or section.title
    if has_text(found) then list[#list + 1] = found end
  end
  return { document = { source = input.markdown_file, title = title or input.markdown_file:match "[^/]+$", sections = weir.list(list) } }
end

return M
