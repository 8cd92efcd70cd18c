--- Documents of the workspace as lines of JSON, out of one scope and into another, or into another store.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local json = require "weir.native.json"
local shape = require "weir.view.shape"
local workspace = require "weir.workspace"

local M = {}

local PAGE = 1000
local TOGETHER = 100 -- documents of one transaction
local FIELDS = { name = true, value = true, type = true, tags = true, ttl = true }

local function line_of(view, name, now_ms)
  local document = view:get(name)
  if not document then return nil end -- deleted, or over, since it was listed
  return { name = name, value = document.value, type = document.type, tags = #document.tags > 0 and json.list(document.tags) or nil,
    ttl = document.expires_ms and (document.expires_ms - now_ms) / 1000 or nil }
end

--- Gives a line for each document of the view's scope, in the order of their names. Reads one moment if the view does.
---@param view weir.View
---@param prefix string|nil of their names
---@param out fun(line: string)
---@return integer documents
function M.export(view, prefix, out)
  local count, last, now_ms = 0, nil, clock.wall_ms()
  repeat
    local page = view:list { prefix = prefix, after = last, limit = PAGE }
    for _, listed in ipairs(page) do
      local line = line_of(view, listed.name, now_ms)
      if line then
        out(shape.line(line))
        count = count + 1
      end
      last = listed.name
    end
  until #page < PAGE
  return count
end

local function read(line, number)
  local document = json.decode(line)
  if type(document) ~= "table" or json.is_list(document) then failure.raise("invalid", "line %d is no JSON object", number) end
  for field in pairs(document) do
    if not FIELDS[field] then failure.raise("invalid", "line %d: a document has no field '%s'", number, field) end
  end
  if type(document.name) ~= "string" or document.value == nil then
    failure.raise("invalid", "line %d: name and value are needed", number)
  end
  return document
end

--- Posts documents, a line each, so many in one transaction. A line that is none is told before anything is written.
---@param view weir.View
---@param text string
---@return integer documents
function M.import(view, text)
  local list, number = {}, 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    if line:find "%S" then list[#list + 1] = read(line, number) end
  end
  for index, document in ipairs(list) do
    view:post(document.name, document.value, { type = document.type, tags = document.tags, ttl = document.ttl })
    if index % TOGETHER == 0 or index == #list then workspace.commit(view) end
  end
  return #list
end

return M
