--- Writes a document as a page of Markdown: of each of its sections the most telling sentences, linked to where they stand.

local extract = require "weir.text.extract"
local markdown = require "weir.text.markdown"
local selection = require "weir.text.selection"

local M = {
  kind = "agent", name = "document_page", api = 1,
  doc = "Condenses the sections of a document to a page",
  needs = { document = "object" },
  gives = { document_page = "string" },
  options = {
    words = { type = "integer", minimum = 1, default = 40 },     -- of each section
    sections = { type = "integer", minimum = 1, default = 12 },  -- at most
    language = "string?",
  },
}

local function pause() end -- a call back is where a long computation can be interrupted

local function condensed(section, options)
  local chosen = extract.condense({ { text = section.text } }, options.words,
    { method = "textrank", markup = "markdown", language = options.language, pause = pause })
  return chosen and selection.text(chosen) or ""
end

local function item(of, section, options)
  local text = condensed(section, options)
  if text == "" then return nil end
  local title = section.title and markdown.escape(section.title) or "At the beginning"
  return ("- [%s](%s#L%d): %s"):format(title, markdown.link_target(of.source), section.line, markdown.escape(text))
end

--- Writes the page. Does not wait; computes.
---@param ctx weir.Context
---@param input { document: { source: string, title: string, sections: table[] } }
---@return { document_page: string }?
---@return string? message
---@return string? code  invalid (no document as `markdown_sections` gives it)
function M.execute(ctx, input)
  local of = input.document
  if type(of) ~= "table" or type(of.sections) ~= "table" or type(of.source) ~= "string" then
    return nil, "document_page: input.document has to have a source and sections, as agent 'markdown_sections' gives them", "invalid"
  end
  local lines, hidden = { "## " .. markdown.escape(of.title or of.source), "" }, 0
  for _, section in ipairs(of.sections) do
    local line = #lines - 2 < ctx.options.sections and item(of, section, ctx.options)
    if line then lines[#lines + 1] = line elseif #lines - 2 >= ctx.options.sections then hidden = hidden + 1 end
  end
  if #lines == 2 then lines[3] = "It has no text." end
  if hidden > 0 then lines[#lines + 1] = ("- and %d more sections"):format(hidden) end
  return { document_page = table.concat(lines, "\n") .. "\n" }
end

return M
