--- Reads the tables of docs/patterns.md and the titles of specs, and says which point is shown by nothing. Pure: whoever
--- calls it reads the files.
---
--- A pattern is a heading of the second level with a table `point | guide | spec` below it, and one `goes wrong | guide | spec`,
--- whose points say what goes wrong and what then happens. The spec of a point is a link to a
--- file and then the title of one of its specs; several are separated by `<br>`. What a title computes stands as `…` in it.

local M = {}

local ELLIPSIS = "…"

local function trimmed(text) return (text:gsub("^%s+", ""):gsub("%s+$", "")) end

-- The cells of a line of a table; `\|` is a bar within a cell.
local function cells_of(line)
  local inner = line:match "^|(.*)|%s*$"
  if not inner then return nil end
  local cells = {}
  for cell in (inner:gsub("\\|", "\1") .. "|"):gmatch "([^|]*)|" do cells[#cells + 1] = trimmed((cell:gsub("\1", "|"))) end
  return cells
end

local function link_of(text)
  local target = text:match "^%[[^%]]*%]%(([^)]*)%)"
  return target and target:gsub("^%.%./", ""), trimmed(text:gsub("^%[[^%]]*%]%([^)]*%)", ""))
end

local function evidence_of(cell)
  local list = {}
  for part in (cell .. "<br>"):gmatch "(.-)<br>" do
    local file, title = link_of(trimmed(part))
    if file then list[#list + 1] = { file = file, title = title } end
  end
  return list
end

--- The tables of a text, line by line, without code.
---@param text string  Markdown
---@return fun(): integer|nil, string|nil, string[]|nil, string|nil  line, heading, cells, the line itself
function M.lines(text)
  return coroutine.wrap(function()
    local heading, is_code, number = nil, false, 0
    for line in (text .. "\n"):gmatch "(.-)\n" do
      number = number + 1
      if line:find "^```" then is_code = not is_code end
      if not is_code then
        heading = line:match "^## (.*)$" or heading
        coroutine.yield(number, heading, cells_of(line), line)
      end
    end
  end)
end

--- The points of all patterns.
---@param text string  docs/patterns.md
---@return { line: integer, pattern: string, point: string, guide: string|nil, evidence: { file: string, title: string }[] }[]
function M.points(text)
  local points, header = {}, nil
  for line, heading, cells in M.lines(text) do
    if not cells then
      header = nil
    elseif not header then
      header = table.concat(cells, " ")
    elseif (header == "point guide spec" or header == "goes wrong guide spec") and not cells[1]:find "^%-+$" then
      points[#points + 1] = {
        line = line, pattern = heading, point = cells[1], guide = link_of(cells[2] or ""), evidence = evidence_of(cells[3] or ""),
      }
    end
  end
  return points
end

--- The patterns of the first table, which names of each the example and the guide.
---@param text string
---@return { line: integer, name: string, example: string|nil, guide: string|nil }[]
function M.patterns(text)
  local patterns, header = {}, nil
  for line, _, cells in M.lines(text) do
    if not cells then
      header = nil
    elseif not header then
      header = table.concat(cells, " ")
    elseif header == "pattern example guide" and not cells[1]:find "^%-+$" then
      local name = cells[1]:match "^%[([^%]]*)%]" or cells[1]
      patterns[#patterns + 1] = { line = line, name = name, example = link_of(cells[2] or ""), guide = link_of(cells[3] or "") }
    end
  end
  return patterns
end

--- What is left out: the patterns named in bold in the list below `## Not there`.
---@param text string
---@return { line: integer, pattern: string, says: string }[]
function M.left_out(text)
  local list = {}
  for line, heading, _, text_of_line in M.lines(text) do
    local pattern, says = text_of_line:match "^%- %*%*(.-)%*%*:%s*(.*)$"
    if heading == "Not there" and pattern then list[#list + 1] = { line = line, pattern = pattern, says = says } end
  end
  return list
end

-- The end of a string literal that begins at `from`.
local function string_end(source, from)
  local quote = source:sub(from, from)
  local at = from + 1
  while at <= #source do
    local byte = source:sub(at, at)
    if byte == "\\" then at = at + 1 elseif byte == quote then return at end
    at = at + 1
  end
  return #source
end

-- The first argument of a call whose parenthesis stands before `from`: the texts that are literal, `…` for what is computed.
local function title_at(source, from)
  local parts, depth, at = {}, 0, from
  while at <= #source do
    local byte = source:sub(at, at)
    if byte == '"' or byte == "'" then
      local last = string_end(source, at)
      parts[#parts + 1] = source:sub(at + 1, last - 1):gsub("\\(.)", "%1"):gsub("%%[%-%d.]*[sdqgfx]", ELLIPSIS):gsub("%%%%", "%%")
      at = last
    elseif source:find("^:%w+%b()", at) or source:find("^%b[]", at) then
      at = select(2, source:find("^:%w+%b()", at)) or select(2, source:find("^%b[]", at))
    elseif byte == "(" then
      depth = depth + 1
    elseif byte == ")" then
      depth = depth - 1
      if depth < 0 then break end
    elseif byte == "," and depth == 0 then
      break
    elseif source:find("^[%a_]", at) then
      at = select(2, source:find("^[%w_.]+", at))
      if parts[#parts] ~= ELLIPSIS then parts[#parts + 1] = ELLIPSIS end
    end
    at = at + 1
  end
  return table.concat(parts)
end

--- The titles of the specs in a file, as a set. A call at the beginning of a line is a spec if it is one of `it`, or of a
--- function of the file that calls `it` with the title it is given.
---@param source string  a *_spec.lua
---@return table<string, true>
function M.titles(source)
  local titles, names, text = {}, { it = true }, "\n" .. source
  for name, body in text:gmatch "\nlocal function ([%w_]+)(%b().-)\nend" do
    if body:find "[^%w_]it%(" then names[name] = true end
  end
  for name, at in text:gmatch "\n[ \t]*([%w_]+)%(()" do
    if names[name] then titles[title_at(text, at)] = true end
  end
  titles[ELLIPSIS] = nil
  return titles
end

-- What is wrong with one link to a spec.
local function evidence_finding(evidence, read)
  local source = read(evidence.file)
  if not source then return ("there is no file '%s'"):format(evidence.file) end
  if evidence.title == "" then return ("no title stands behind '%s'"):format(evidence.file) end
  if not M.titles(source)[evidence.title] then return ("'%s' has no spec '%s'"):format(evidence.file, evidence.title) end
end

local function point_findings(point, read, tell)
  if point.point == "" then tell(point, "the point says nothing") end
  if not point.guide or not read((point.guide:gsub("#.*$", ""))) then tell(point, "no guide explains it") end
  if #point.evidence == 0 then tell(point, "no spec shows it") end
  for _, evidence in ipairs(point.evidence) do
    local finding = evidence_finding(evidence, read)
    if finding then tell(point, finding) end
  end
end

local function pattern_findings(pattern, points, read, tell)
  local function is_there(file) return file and read(file) ~= nil end
  local has_points = false
  for _, point in ipairs(points) do has_points = has_points or point.pattern == pattern.name end
  if not has_points then tell(pattern, "it has no points") end
  if not is_there(pattern.example) then tell(pattern, "it has no example") end
  if not is_there(pattern.guide) then tell(pattern, "it has no guide") end
end

--- All that is wrong with a text, a line each: points without a spec of that title, patterns without an example, a guide or a
--- point, points below a heading that is no pattern.
---@param text string
---@param read fun(path: string): string|nil  the text of a file, by its path from the top of the tree; guides by their name
---@return string[]
function M.findings(text, read)
  local found, known = {}, {}
  local function read_any(path) return read(path) or read("docs/" .. path) end
  local function tell(row, what)
    found[#found + 1] = ("line %d, %s: %s"):format(row.line, row.point or row.name or row.pattern, what)
  end
  local points, patterns, left_out = M.points(text), M.patterns(text), M.left_out(text)
  for _, pattern in ipairs(patterns) do
    known[pattern.name] = true
    pattern_findings(pattern, points, read_any, tell)
  end
  for _, point in ipairs(points) do
    if not known[point.pattern] then tell(point, ("'%s' is no pattern"):format(point.pattern)) end
    point_findings(point, read_any, tell)
  end
  for _, one in ipairs(left_out) do
    if not known[one.pattern] then tell(one, "is no pattern") end
    if one.says == "" then tell(one, "says nothing of what is left out") end
  end
  return found
end

return M
