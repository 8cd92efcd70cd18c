--- Goes through what a store holds, page by page, so that however much it is, little of it is in memory. What is long lets
--- other tasks have their turn between pages, and damage does not end it: what is damaged is met as such.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"

local M = {}

local PAGE = 200

-- Entries one by one; `fetch` gives the next page, of `size` entries if there are so many.
local function each(fetch, size, yields)
  local page, at = nil, 0
  return function()
    at = at + 1
    if page == nil or at > #page then
      if page and #page < size then return nil end
      if page and yields then native.yield() end
      local message, code
      page, message, code = fetch()
      if not page then failure.raise(code or "failed", "%s", message) end
      at = 1
    end
    return page[at]
  end
end

local function each_row(store, space, query, yields)
  local size = query.limit or PAGE
  query.limit = size
  return each(function()
    local page, message, code = store:scan(space, query)
    local last = page and page[#page]
    if last then query.behind = last.key end
    return page, message, code
  end, size, yields)
end

--- Rows of a space, in order of their keys. Does not wait. Raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param space string
---@param query table as `store:scan` takes it; limit: rows of a page, default 200. It is the iterator's from now on
---@return fun(): { key: string, value: any, version: integer, damaged: true|nil }|nil
function M.rows(store, space, query) return each_row(store, space, query, false) end

--- All runs, in order of their ids. Yields.
---@param store weir.Store
---@param query { status: string?, reverse: boolean? }|nil
---@return fun(): { id: string, row: table|nil, damaged: true|nil }|nil
function M.runs(store, query)
  local after
  local status, reverse = query and query.status, query and query.reverse
  return each(function()
    local page, message, code = store:runs { status = status, reverse = reverse, after = after, limit = PAGE, damaged = true }
    if page and page[1] then after = page[#page].id end
    return page, message, code
  end, PAGE, true)
end

--- All keys of a space, or those with a prefix. Yields.
---@param store weir.Store
---@param space string
---@param prefix string|nil
---@return fun(): { key: string, value: any, version: integer, damaged: true|nil }|nil
function M.keys(store, space, prefix)
  return each_row(store, space, { prefix = prefix, damaged = true }, true)
end

--- All keys of a space, the last first. Yields.
---@param store weir.Store
---@param space string
---@return fun(): { key: string, value: any, version: integer, damaged: true|nil }|nil
function M.keys_back(store, space)
  return each_row(store, space, { reverse = true, damaged = true }, true)
end

--- The ids of all journals. Yields.
---@param store weir.Store
---@return fun(): string|nil
function M.journals(store)
  local after
  return each(function()
    local page, message, code = store:journals { after = after, limit = PAGE }
    if page and page[1] then after = page[#page] end
    return page, message, code
  end, PAGE, true)
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
  end, PAGE, true)
end

return M
