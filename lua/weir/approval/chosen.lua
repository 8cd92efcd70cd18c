--- Questions that somebody has chosen together: those that fit what is said, as of a moment of the store. What was asked
--- later is not among them, however late they decide, and what was decided meanwhile is not either. Part of weir.approval.

local approval = require "weir.approval"
local failure = require "weir.failure"

local M = {}

local FIELDS = { run = true, pipeline = true, step = true, kind = true }
local PAGE = 50

--- Reads what is to fit, as people write it: `pipeline=release step=ask`, with spaces or commas between. Raises `invalid`.
---@param text string|nil
---@return table<string, string> where
function M.read(text)
  local where = {}
  for term in (text or ""):gmatch "[^%s,]+" do
    local name, value = term:match "^(%a+)=(.+)$"
    if not name or not FIELDS[name] then
      failure.raise("invalid", "'%s' says nothing: pipeline=NAME, step=KEY, run=RUN or kind=approval expected, several with spaces between",
        term:sub(1, 80))
    end
    if where[name] then failure.raise("invalid", "'%s' is said twice", name) end
    where[name] = value
  end
  return where
end

--- The moment that is now, as a number that names it for `all`. Does not wait.
---@param store weir.Store
---@return integer
function M.now(store) return store:lsn() end

--- Reads the number of a moment. Raises `invalid`: it is none, or one that is still to come.
---@param store weir.Store
---@param given string|integer
---@return integer
function M.moment(store, given)
  local lsn = math.tointeger(tonumber(given))
  if not lsn or lsn < 0 or lsn > M.now(store) then
    failure.raise("invalid", "'%s' is no moment of this store; `weir approvals` prints the one that it shows", tostring(given):sub(1, 40))
  end
  return lsn
end

--- All that fit and wait, in order of their ids, each as a page of them is read. Does not wait. Raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param where table<string, string>
---@param as_of integer|nil nil: now
---@param limit integer|nil raises `limit` when there are so many
---@return weir.Approval[]
function M.all(store, where, as_of, limit)
  local list, after = {}, nil
  repeat
    local page, message, code = approval.pending(store, { run = where.run, pipeline = where.pipeline, step = where.step, kind = where.kind,
      as_of = as_of, after = after, limit = PAGE })
    if not page then failure.raise(code or "failed", "%s", message) end
    table.move(page, 1, #page, #list + 1, list)
    if limit and #list >= limit then failure.raise("limit", "%d or more wait there; choose fewer", limit) end
    after = page[#page] and page[#page].id
  until #page < PAGE
  return list
end

return M
