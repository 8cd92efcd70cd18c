--- Docs of functions, from the docstrings of the library's files: signature and text by name. Never waits.

local paths = require "weir.paths"

local M = {}

---@class weir.Doc
---@field name string
---@field signature string such as "task.sleep(seconds)"
---@field text string

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local PATTERNS = { "^function ([%w_]+)([.:])([%w_]+)(%b())", "^function ([%w_]+)()()(%b())" }

-- What a line defines: the name within the file's table, and its parameters.
local function defined(line)
  local _, _, name, parameters = line:match(PATTERNS[1])
  if name then return name, parameters end
  name, parameters = line:match "^  ([%a_][%w_]*) = function%s*(%b())"
  if name then return name, parameters end
  name = line:match "^  ([%a_][%w_]*) = [%w_.]+,"
  return name, name and "(...)"
end

local function tidy(comment)
  local text = comment:gsub("^%-%-%-? ?", "")
  return text
end

-- A docstring may say itself how a thing is called: "`agents.NAME(input)`: calls ..."
local function doc_of(name, parameters, text)
  local signature, rest = text:match "^`([^`]+)`: (.*)$"
  return { name = name, signature = signature or name .. parameters:gsub("^%(self,?%s*", "("), text = rest or text }
end

--- The docs of everything that a text of the library explains.
---@param text string of a file
---@return table<string, weir.Doc> by name
function M.of_text(text)
  local found, comment = {}, {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    if line:find "^%s*%-%-%-" then
      comment[#comment + 1] = tidy(line:match "^%s*(.*)$")
    else
      local name, parameters = defined(line)
      if name and #comment > 0 and not found[name] then
        found[name] = doc_of(name, parameters, table.concat(comment, "\n"))
      end
      comment = {}
    end
  end
  return found
end

-- Where else the functions of a table are explained: those that are the host's own, and the methods of runs.
local OTHER = { task = "meta/scheduler", channel = "meta/channel", json = "meta/json", run = "repl.run" }

local cache = {}

local function of_file(name)
  if cache[name] == nil then
    local path = paths.library .. "/lua/" .. (name:find "^meta/" and name or "weir/" .. name:gsub("%.", "/"))
    local text = read(path .. ".lua") or read(path .. "/init.lua")
    cache[name] = text and M.of_text(text) or false
  end
  return cache[name] or nil
end

--- The docs of a function of the library, such as "task.sleep" or "weir.task.sleep"; of a name alone, such as "runs",
--- those of what is at hand in a REPL.
---@param name string
---@return weir.Doc|nil
function M.find(name)
  name = name:gsub("^weir%.", "")
  local file, inner = name:match "^(.+)[.:]([%w_]+)$"
  if not file then
    for _, place in ipairs { "repl.hand", "repl.run", "init" } do
      local found = of_file(place)
      if found and found[name] then return found[name] end
    end
    return nil
  end
  for _, place in ipairs { file, OTHER[file] } do
    local found = of_file(place)
    if found and found[inner] then return found[inner] end
  end
end

--- The names that are at hand, each with the first line of its docs.
---@return { name: string, line: string }[]
function M.at_hand()
  local list = {}
  for name, doc in pairs(of_file "repl.hand") do
    local line = doc.text:match "^[^\n]*"
    list[#list + 1] = { name = name, signature = doc.signature, line = line:match "^(.-%.)%f[%s\0]" or line }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

return M
