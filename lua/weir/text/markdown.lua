--- The blocks of a text: Markdown or plain.
---
--- Enough of CommonMark 0.31 to tell prose from what is none (code, tables, HTML, link definitions,
--- front matter) and to find headings; not a renderer. One pass over the lines, constant memory.
--- Blocks are handed to a visitor as byte ranges, so that whoever wants the text cuts it himself.
--- In plain text only headings by underline, list items and paragraphs are told apart.

local M = {}

---@alias weir.text.Block "text"|"heading"|"code"|"table"|"html"|"meta"

--- Tells whether a file of this name holds Markdown. Does not yield.
---@param path string?
---@return boolean
function M.is_markdown(path)
  local extension = path and path:lower():match("%.([%w]+)$")
  return extension == "md" or extension == "markdown" or extension == "mkd" or extension == "mdx"
end

--- Tells whether a text looks like Markdown: it has a heading or a code fence. Does not yield.
---@param text string
---@return boolean
function M.looks_like(text)
  return text:find("^#+ ") ~= nil or text:find("\n#+ ") ~= nil or text:find("\n```") ~= nil
end

--- Reads a line as the opening of a code fence. Does not yield.
---@param line string
---@return string? fence  the fence itself: three or more backticks or tildes
function M.fence(line)
  local fence, info = line:match("^ ? ? ?(```+)(.*)$")
  if fence and not info:find("`", 1, true) then return fence end
  return line:match("^ ? ? ?(~~~+)")
end

local function closes(line, fence)
  local marks = line:match("^ ? ? ?([`~]+)%s*$")
  local mark = fence:sub(1, 1)
  return marks ~= nil and #marks >= #fence and marks == mark:rep(#marks)
end

--- Reads a line as a Markdown heading that begins with number signs. Does not yield.
---@param line string
---@return integer? level  1..6
---@return string? title
function M.heading(line)
  local marks, title = line:match("^ ? ? ?(#+)[ \t]+(.-)[ \t]*$")
  if not marks then marks, title = line:match("^ ? ? ?(#+)[ \t]*$"), "" end
  if not marks or #marks > 6 then return nil end
  return #marks, (title:gsub("[ \t]+#+$", ""):gsub("^#+$", ""))
end

local BULLETS = { "^%s*[-*+]%s+()", "^%s*%d%d?%d?[.)]%s+()", "^%s*%(%a%)%s+()", "^%s*•%s*()", "^%s*[·–—]%s+()" }

local function item_start(line)
  for _, pattern in ipairs(BULLETS) do
    local at = line:match(pattern)
    if at then return at end
  end
end

local function is_rule(line)
  local marks = line:gsub("%s", "")
  return #marks >= 3 and (marks:find("^%-+$") or marks:find("^%*+$") or marks:find("^_+$")) ~= nil
end

local function underline_level(line)
  if line:find("^ ? ? ?==+%s*$") then return 1 end
  if line:find("^ ? ? ?%-%-+%s*$") then return 2 end
end

-- The scan: what is under way (kind, first byte, first line) and who is told.
local function finish(scan, last)
  local kind = scan.kind
  if not kind then return end
  scan.kind = nil
  scan.visit(kind, scan.first, last, scan.line, scan.level, scan.title)
end

local function begin(scan, kind, first, level, title)
  scan.kind, scan.first, scan.line = kind, first, scan.number
  scan.level, scan.title, scan.lines = level, title, 0
end

local function whole_line(scan, kind, first, last, level, title)
  finish(scan, first - 1)
  begin(scan, kind, first, level, title)
  finish(scan, last)
end

local function in_code(scan, line, last)
  if scan.fence then
    if closes(line, scan.fence) then
      scan.fence = nil
      finish(scan, last)
    end
    return true
  end
  return false
end

local function opens_code(scan, line, first)
  local fence = M.fence(line) or (scan.in_list and line:match("^%s+(```+)[^`]*$"))
  if fence then
    finish(scan, first - 1)
    begin(scan, "code", first)
    scan.fence = fence
    return true
  end
  if scan.kind == "code" then return true end
  if scan.kind == nil and not scan.in_list and line:find("^    ") or line:find("^\t") and scan.kind == nil then
    begin(scan, "code", first)
    return true
  end
  return false
end

-- Front matter, and comments: blocks that end at a mark of their own.
local function in_block(scan, line, last)
  local ending = scan.ending
  if not ending then return false end
  if line:find(ending) then
    scan.ending = nil
    finish(scan, last)
  end
  return true
end

local function opens_block(scan, line, first, last)
  local kind, ending
  if scan.front and scan.number == 1 and line:find("^%-%-%-%s*$") then kind, ending = "meta", "^[-.][-.][-.]%s*$"
  elseif line:find("^ ? ? ?<!%-%-") then kind, ending = "html", "%-%->" end
  if not kind then return false end
  finish(scan, first - 1)
  begin(scan, kind, first)
  if kind == "html" and line:find("%-%->") then finish(scan, last) else scan.ending = ending end
  return true
end

local function is_table(line)
  return line:find("^%s*|.*|%s*$") ~= nil or line:find("^%s*:?%-%-+:?%s*|[-:|%s]*$") ~= nil
end

local function html(scan, line, first)
  if scan.kind == "html" then return true end
  if scan.kind or not line:find("^ ? ? ?</?%a[^%s<]*[%s/>]") or line:find("^ ? ? ?<%a[%w+.-]*:") then return false end
  local tag = line:match("^ ? ? ?</?(%a%w*)")
  if ("a b i em strong code span kbd"):find("%f[%w]" .. tag:lower() .. "%f[%W]") then return false end
  begin(scan, "html", first)
  return true
end

local function blank(scan, first)
  if scan.kind == "text" or scan.kind == "html" or scan.kind == "table" then finish(scan, first - 1) end
end

local function markdown_line(scan, line, first, last)
  if opens_code(scan, line, first) then return true end
  local level, title = M.heading(line)
  if level then
    scan.in_list = false
    whole_line(scan, "heading", first, last, level, title)
    return true
  end
  if is_table(line) then
    if scan.kind ~= "table" then
      finish(scan, first - 1)
      begin(scan, "table", first)
    end
    return true
  end
  if line:find("^ ? ? ?%[[^%]]+%]:%s*%S") then
    whole_line(scan, "meta", first, last)
    return true
  end
  return html(scan, line, first)
end

local function text_line(scan, line, first, last)
  if scan.kind == "table" or scan.kind == "code" then finish(scan, first - 1) end
  local at = item_start(line)
  if at then
    finish(scan, first - 1)
    scan.in_list = true
    begin(scan, "text", first + at - 1)
  elseif scan.kind ~= "text" then
    if not line:find("^%s") then scan.in_list = false end
    begin(scan, "text", first + (scan.markdown and line:match("^[%s>]*()") or line:match("^%s*()")) - 1)
  end
  scan.lines, scan.above, scan.above_last = scan.lines + 1, first, last
end

-- An underline makes the one line above it a heading; any other rule ends what is under way.
local function underlined(scan, line, first, last)
  local level = underline_level(line)
  if level and scan.kind == "text" and scan.lines == 1 then
    scan.kind, scan.first, scan.level = "heading", scan.above, level
    scan.title = scan.text:sub(scan.above, scan.above_last):match("^%s*(.-)%s*$")
    scan.in_list = false
    finish(scan, last)
    return true
  end
  if not is_rule(line) and not line:find("^%s*=[= ]*$") then return false end
  whole_line(scan, "meta", first, last)
  return true
end

local function take(scan, line, first, last)
  if in_code(scan, line, last) or in_block(scan, line, last) then return end
  if not line:find("%S") then return blank(scan, first) end
  if scan.kind == "code" and not line:find("^%s") then finish(scan, first - 1) end
  if scan.markdown and opens_block(scan, line, first, last) then return end
  if scan.kind ~= "code" and underlined(scan, line, first, last) then return end
  if scan.markdown and markdown_line(scan, line, first, last) then return end
  text_line(scan, line, first, last)
end

--- Walks over the blocks of a text in order. Blank lines belong to no block. Does not yield.
---@param text string
---@param options { markdown: boolean?, inside: string?, continued: boolean? }  inside: the code fence that
---  the text begins in (a piece of a longer text); continued: it does not begin a file, so has no front matter
---@param visit fun(kind: weir.text.Block, first: integer, last: integer, line: integer, level?: integer,
---  title?: string)
---  bytes of text, 1-based and inclusive, and the number of its first line; level and title of a heading
---@return string? inside  the code fence that is still open at the end
function M.scan(text, options, visit)
  local scan = { text = text, visit = visit, markdown = options.markdown, number = 1 }
  scan.front = not options.continued and text:find("\n[-.][-.][-.]%s*\n") ~= nil -- else a rule
  if options.inside then
    begin(scan, "code", 1)
    scan.fence = options.inside
  end
  local first = 1
  while first <= #text do
    local ending = text:find("\n", first, true) or #text + 1
    local last = math.min(ending, #text)
    take(scan, text:sub(first, text:byte(ending - 1) == 13 and ending - 2 or ending - 1), first, last)
    first, scan.number = ending + 1, scan.number + 1
  end
  finish(scan, #text)
  return scan.fence
end

--- Gives the words of inline Markdown without its marks: links become their labels, images go,
--- tags go, code keeps its text. White space of any kind becomes one space. Does not yield.
---@param text string
---@return string
function M.plain(text)
  local plain = text:gsub("\n[ \t]*>[ \t]?", "\n"):gsub("^[ \t]*>[ \t]?", "")
  plain = plain:gsub("!%[[^%]]*%]%b()", ""):gsub("%[([^%[%]]*)%]%b()", "%1")
  plain = plain:gsub("%[([^%[%]]+)%]%[[^%]]*%]", "%1"):gsub("%[%^[^%]]+%]", "")
  plain = plain:gsub("<(%a[%w+.-]*:[^%s<>]*)>", "%1"):gsub("</?%a[^<>]*>", "")
  plain = plain:gsub("%*%*", ""):gsub("%f[%w_]__(.-)__%f[^%w_]", "%1"):gsub("`+", "")
  plain = plain:gsub("%f[*]%*([^*%s][^*]*)%*", "%1"):gsub("\\([%p])", "%1")
  return (plain:gsub("[ \t\r\n]+", " "):gsub("^ ", ""):gsub(" $", ""))
end

--- Writes any text so that Markdown shows it as it is, on one line. Does not yield.
---@param text string
---@return string
function M.escape(text)
  local line = text:gsub("%s+", " "):gsub("[\\`*_%[%]<>|]", "\\%0")
  return (line:gsub("^([#+%-=~])", "\\%1"):gsub("^(%d+)([.)])", "%1\\%2"):gsub("%c", ""))
end

local function percent(char)
  return ("%%%02X"):format(char:byte())
end

--- Writes a path so that it can be the target of a Markdown link. Does not yield.
---@param path string
---@return string
function M.link_target(path)
  return (path:gsub("[^%w%-._~/@+=,]", percent))
end

return M
