--- Writes a digest as a Markdown page whose sentences link to the lines they come from.

local markdown = require "weir.text.markdown"
local weir = require "weir"

local M = {
  kind = "agent", name = "digest_page", api = 1,
  doc = "Writes a digest as Markdown, each sentence a link to its source",
  needs = { sentences = "array", title = "string?", out = "string?", files = "array?", read = "array?" },
  gives = { text = "string", links = "integer" },
  options = {
    title = { type = "string", default = "Digest" },
    lines = { type = "boolean", default = true }, -- links end in #L and the line
  },
}

local function segments(path)
  local list = {}
  for part in path:gmatch("[^/]+") do
    if part == ".." and #list > 0 and list[#list] ~= ".." then list[#list] = nil
    elseif part ~= "." then list[#list + 1] = part end
  end
  return list
end

-- The path of a source as seen from the folder of the page. Both count from one folder, or both are absolute.
local function relative(page, source)
  if page:sub(1, 1) ~= source:sub(1, 1) and (page:find("^/") or source:find("^/")) then return source end
  local from, to = segments(page), segments(source)
  from[#from] = nil
  local same = 0
  while same < math.min(#from, #to - 1) and from[same + 1] == to[same + 1] do same = same + 1 end
  local parts = {}
  for _ = same + 1, #from do parts[#parts + 1] = ".." end
  table.move(to, same + 1, #to, #parts + 1, parts)
  return table.concat(parts, "/")
end

local function label(sentence)
  local text = sentence.text
  if markdown.is_markdown(sentence.source) then text = markdown.plain(text) end
  return markdown.escape(text)
end

local function target(ctx, page, sentence)
  local path = markdown.link_target(relative(page, sentence.source))
  return ctx.options.lines and sentence.line and ("%s#L%d"):format(path, sentence.line) or path
end

local function heading(page, source)
  return ("## [%s](%s)"):format(markdown.escape(source), markdown.link_target(relative(page, source)))
end

-- Sentences of one source are a section of the page; those without a source stand first, unlinked.
local function body(ctx, page, sentences)
  local parts, links, before = {}, 0, nil
  for _, sentence in ipairs(sentences) do
    local source = sentence.source
    if source and source ~= before then parts[#parts + 1] = heading(page, source) end
    if source then
      parts[#parts + 1] = ("- [%s](%s)"):format(label(sentence), target(ctx, page, sentence))
      links = links + 1
    else
      parts[#parts + 1] = "- " .. label(sentence)
    end
    before = source
  end
  return parts, links
end

-- The files of which nothing could be read: those whose place in `read` is null.
local function unread(files, read)
  local missing = {}
  for index, path in ipairs(files or {}) do
    if read and (read[index] == nil or read[index] == weir.null) then missing[#missing + 1] = path end
  end
  return missing
end

local function footer(input)
  local missing, lines = unread(input.files, input.read), {}
  for _, path in ipairs(missing) do lines[#lines + 1] = "- " .. markdown.escape(path) end
  if #lines == 0 then return nil end
  return "## Not read\n\n" .. table.concat(lines, "\n")
end

local function count_sources(sentences)
  local seen, n = {}, 0
  for _, sentence in ipairs(sentences) do
    local source = sentence.source or ""
    if not seen[source] then seen[source], n = true, n + 1 end
  end
  return n
end

local function counted(n, word)
  return ("%d %s%s"):format(n, word, n == 1 and "" or "s")
end

local function summary_line(input)
  local sentences, sources = #input.sentences, count_sources(input.sentences)
  local line = ("%s from %s"):format(counted(sentences, "sentence"), counted(sources, "file"))
  if not input.files then return line .. "." end
  return ("%s, of %d read."):format(line, #input.files - #unread(input.files, input.read))
end

local function lay_out(parts)
  local text = {}
  for index, part in ipairs(parts) do
    local item = part:find("^%- ") and (parts[index + 1] or ""):find("^%- ")
    text[#text + 1] = part .. (item and "\n" or "\n\n")
  end
  return (table.concat(text):gsub("\n+$", "\n"))
end

--- Writes the page. Does not wait.
---@param ctx weir.Context
---@param input { sentences: weir.text.Sentence[], title: string?, out: string?, files: string[]?, read: any[]? }
---  out: the path the page will have, which links are relative to; files: all that were meant to be read, and read:
---  what came of each, null for a failure, so that the page can name them
---@return { text: string, links: integer }?
---@return string? message
---@return string? code  invalid (no sentences)
function M.execute(ctx, input)
  if type(input.sentences) ~= "table" then
    return nil, "digest_page: input.sentences is required (list of sentences with their sources)", "invalid"
  end
  local parts, links = body(ctx, input.out or "", input.sentences)
  table.insert(parts, 1, "# " .. markdown.escape(input.title or ctx.options.title))
  table.insert(parts, 2, summary_line(input))
  parts[#parts + 1] = footer(input)
  return { text = lay_out(parts), links = links }
end

return M
