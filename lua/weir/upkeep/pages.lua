--- Goes through what a store holds, page by page, letting other tasks have their turn in between. Damage does not end
--- the way: what is damaged is met as such.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"

local M = {}

local PAGE = 200

-- Entries one by one; `fetch` gives the page after a key.
local function each(fetch, name_of)
  local page, at, after = nil, 0, nil
  return function()
    at = at + 1
    if page == nil or at > #page then
      if page and #page < PAGE then return nil end
      if page then native.yield() end
      local message, code
      page, message, code = fetch(after)
      if not page then failure.raise(code or "failed", "%s", message) end
      at = 1
      if page[1] then after = name_of(page[#page]) end
    end
    return page[at]
  end
end

--- All runs, in order of their ids. Yields.
---@param store weir.Store
---@param query { status: string?, reverse: boolean? }|nil
---@return fun(): { id: string, row: table|nil, damaged: true|nil }|nil
function M.runs(store, query)
  query = query or {}
  return each(function(after)
    return store:runs { status = query.status, reverse = query.reverse, after = after, limit = PAGE, damaged = true }
  end, function(found) return found.id end)
end

--- All keys of a space, or those with a prefix. Yields.
---@param store weir.Store
---@param space string
---@param prefix string|nil
---@return fun(): { key: string, value: any, version: integer, damaged: true|nil }|nil
function M.keys(store, space, prefix)
  return each(function(after)
    return store:scan(space, { prefix = prefix, after = after, limit = PAGE, damaged = true })
  end, function(found) return found.key end)
end

--- The ids of all journals. Yields.
---@param store weir.Store
---@return fun(): string|nil
function M.journals(store)
  return each(function(after) return store:journals { after = after, limit = PAGE } end, function(id) return id end)
end

--- The entries of a run, in order; raises `corrupt`, `not_found`. Yields.
---@param store weir.Store
---@param run_id string
---@return fun(): any[]|nil
function M.entries(store, run_id)
  local reached = 0
  return each(function()
    local entries, n, code = store:entries(run_id, reached, PAGE)
    if entries then reached = n end
    return entries, n, code
  end, function() return reached end)
end

return M
