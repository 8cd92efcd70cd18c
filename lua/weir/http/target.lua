--- Reads the target of a request: its path, segment by segment, and its query. Pure.

local problem = require "weir.http.problem"

local M = {}

local SEGMENTS_MAX, PARAMETERS_MAX = 16, 32

local function decoded(text, what)
  if not text:find "[%%+]" then return text end
  if text:find "%%%X" or text:find "%%.%X" or text:find "%%.?$" then
    problem.raise(400, "invalid", "%s: a '%%' has to be followed by two hexadecimal digits", what)
  end
  return (text:gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
end

local function check_text(text, what)
  if text:find "[%z\1-\31\127]" then problem.raise(400, "invalid", "%s has a control character", what) end
  if not utf8.len(text) then problem.raise(400, "invalid", "%s is not UTF-8", what) end
  return text
end

-- Most paths have nothing to be decoded or refused in them.
local function plain_segments_of(path)
  local segments, count = {}, 0
  for part in path:gmatch "/([^/]*)" do
    count = count + 1
    segments[count] = part
  end
  return count <= SEGMENTS_MAX and segments or nil
end

local function segments_of(path)
  if path:sub(1, 1) ~= "/" then problem.raise(400, "invalid", "the target must begin with '/'") end
  if not path:find "[^%w/_:-]" then
    local segments = plain_segments_of(path)
    if segments then return segments end
  end
  local segments = {}
  for part in path:gmatch "/([^/]*)" do
    local segment = check_text(decoded(part, "the path"), "the path")
    if segment == "." or segment == ".." then problem.raise(400, "invalid", "the path has a segment '%s'", segment) end
    segments[#segments + 1] = segment
    if #segments > SEGMENTS_MAX then problem.raise(404, "not_found", "there is nothing here") end
  end
  return segments
end

local function query_of(text)
  local query, count = {}, 0
  for part in text:gmatch "[^&]+" do
    local name, value = part:match "^([^=]*)=?(.*)$"
    name = check_text(decoded((name:gsub("+", " ")), "the query"), "the query")
    if query[name] ~= nil then problem.raise(400, "invalid", "the query gives '%s' more than once", name) end
    query[name] = check_text(decoded((value:gsub("+", " ")), "the query"), "the query")
    count = count + 1
    if count > PARAMETERS_MAX then problem.raise(400, "invalid", "the query has more than %d parameters", PARAMETERS_MAX) end
  end
  return query
end

local NOTHING = {}

--- Raises what answers with 400.
---@param target string
---@return string[] segments decoded
---@return table<string, string> query decoded
function M.parse(target)
  local path, query = target:match "^([^?#]*)%??([^#]*)$"
  if not path then problem.raise(400, "invalid", "the target has a fragment") end
  return segments_of(path), query ~= "" and query_of(query) or NOTHING
end

--- A text as one segment of a path.
---@param text string
---@return string
function M.encode(text)
  return (text:gsub("[^%w%-._~:]", function(char) return ("%%%02X"):format(char:byte()) end))
end

return M
