--- Splits a Markdown document that arrives on a stream, line by line, into its sections: each goes out as soon as the next
--- heading, or the end, is there. One section is held at a time.

local markdown = require "weir.text.markdown"

local M = {
  kind = "agent", name = "split_sections", api = 1,
  doc = "Splits a Markdown document that arrives line by line into sections, while it arrives",
  gives = { sections = "integer", lines = "integer" },
  options = {
    max_bytes = { type = "integer", minimum = 1, default = 1048576 }, -- of a section; a longer one goes out in parts
  },
}

-- Lines in a block of code are no headings.
local function headings()
  local fence
  return function(line)
    local opened = markdown.fence(line)
    if fence then
      if opened and opened:sub(1, 1) == fence:sub(1, 1) and #opened >= #fence then fence = nil end
      return nil
    end
    fence = opened
    if not opened then return markdown.heading(line) end
  end
end

local function text_of(item)
  local text = type(item) == "table" and item.text or item
  if type(text) == "string" then return text end
  error({ code = "invalid", message = ("split_sections: an item of the stream is a %s; lines are expected"):format(type(item)) }, 0)
end

local function new_section(line, level, title)
  return { line = line, level = level or 0, title = title and markdown.plain(title) or nil, lines = {}, bytes = 0 }
end

local function give(ctx, section)
  local text = table.concat(section.lines)
  if not section.title and not text:find "%S" then return 0 end
  ctx:emit { title = section.title, level = section.level, line = section.line, text = text }
  return 1
end

--- Reads the stream to its end. Waits for what comes, and while readers are behind. Raises `invalid` for what is no line.
---@param ctx weir.Context
---@return { sections: integer, lines: integer }  emitted: { title: string?, level: integer, line: integer, text: string }, level 0
---  being what stands before the first heading, line that of the heading, text without it
function M.execute(ctx)
  local heading, number, sections = headings(), 0, 0
  local section = new_section(1)
  for item in ctx:items() do
    local line = text_of(item)
    number = number + 1
    local level, title = heading((line:gsub("\r?\n$", "")))
    if level or section.bytes + #line > ctx.options.max_bytes then
      sections = sections + give(ctx, section)
      section = new_section(number, level or section.level, title or section.title)
    end
    if not level then section.lines[#section.lines + 1], section.bytes = line, section.bytes + #line end
  end
  return { sections = sections + give(ctx, section), lines = number }
end

return M
