--- The history of candidates: what reflections have proposed, what it was measured by, and what became of it. One record for
--- each proposal, in the space `candidates` under PIPELINE/ID, in the order of time. A record is written in the transaction
--- that writes the journal of the cycle which makes it, so neither is ahead of the other.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local pages = require "weir.pages"
local sweep = require "weir.sweep"
local value_of = require "weir.value"

local M = { space = "candidates" }

local LOOKED_AT = 500
local NEWEST, KEPT_MS = 1000, 90 * 86400000 -- what stays of each pipeline, and for how long what is beyond does

---@class weir.reflection.Scores of one version on a set of inputs
---@field before number|nil     mean of the version it is compared with
---@field after number|nil
---@field inputs { input: string, before: number?, after: number?, error: string? }[] by the hash of the input

---@class weir.Candidate
---@field id string            c_ and 20 characters
---@field pipeline string
---@field cycle string         the run that made it
---@field run string|nil       the run that was reflected on
---@field round integer        from 1
---@field root string          version that the pipeline's file had
---@field parent string        version that it is made of
---@field version string|nil   of the definition that it is
---@field module string|nil    full name, of one that changes a module's source
---@field module_version string|nil
---@field reason string
---@field patch table[]|nil    JSON Patch over the parent
---@field diff string[]|nil    of a source
---@field note any             what the reflection wants to find again
---@field size weir.reflection.Size|nil
---@field state "proposed"|"refused"|"approved"|"canary"|"kept"|"reverted"
---@field code string|nil      why it was refused or reverted
---@field why string|nil
---@field by string|nil        who approved or refused it: a person, or "rule"
---@field hash string|nil      of what that person was shown
---@field tuning weir.reflection.Scores|nil
---@field holdout weir.reflection.Scores|nil
---@field cost { steps: integer, reused: integer, tokens: number, usd: number }|nil
---@field at_ms integer
---@field ended_ms integer|nil

--- The id of a candidate: that of its cycle's time, and drawn from where it stands, so that a replay has the same.
---@param cycle string run id
---@param round integer
---@return string
function M.id(cycle, round)
  local digest = hash.sha256(("%s/%d"):format(cycle, round))
  local time = cycle:match "^r_([0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z][0-9a-z])" or digest:sub(-9)
  return ("c_%s%02x%s"):format(time, round % 256, digest:sub(1, 9))
end

local function key_of(record) return record.pipeline .. "/" .. record.id end

--- The operation that puts a record.
---@param record weir.Candidate
---@return table
function M.operation(record)
  return { op = "put", space = M.space, key = key_of(record), value = value_of.copy(record) }
end

local function of_pipeline(store, pipeline, query, limit)
  local found, prefix = {}, pipeline .. "/"
  for one in pages.rows(store, M.space, { prefix = prefix, reverse = true, before = query.before and prefix .. query.before }) do
    if #found >= limit then break end
    if not query.root or one.value.root == query.root then table.insert(found, 1, one.value) end
  end
  return found
end

local function first_after(store, key)
  return pages.rows(store, M.space, { after = key, limit = 1 })()
end

-- Pipelines of which there are any: behind all keys of one begin those of the next. "0" sorts right behind "/".
local function pipelines(store)
  local names, first = {}, first_after(store)
  while first do
    names[#names + 1] = first.value.pipeline
    first = first_after(store, first.value.pipeline .. "0")
  end
  return names
end

local function by_id(a, b) return a.id < b.id end

--- Candidates, the newest last.
---@param store weir.Store
---@param query { pipeline: string?, limit: integer?, root: string?, before: string? }|nil limit: of the newest; default 500; before:
---   only those that sort before this id
---@return weir.Candidate[]
function M.list(store, query)
  query = query or {}
  local limit = query.limit or LOOKED_AT
  if query.pipeline then return of_pipeline(store, query.pipeline, query, limit) end
  local found = {}
  for _, pipeline in ipairs(pipelines(store)) do
    local list = of_pipeline(store, pipeline, query, limit)
    table.move(list, 1, #list, #found + 1, found)
  end
  table.sort(found, by_id)
  return table.move(found, math.max(1, #found - limit + 1), #found, 1, {})
end

--- One candidate. Raises `not_found`, and `invalid` for the beginning of several.
---@param store weir.Store
---@param given string its id, or the beginning of one
---@return weir.Candidate
function M.get(store, given)
  local found
  for _, record in ipairs(M.list(store, { limit = math.maxinteger })) do
    if record.id:sub(1, #given) == given then
      if found then
        failure.raise("invalid", "'%s' fits more than one candidate, such as %s and %s; give more of the id", given, found.id, record.id)
      end
      found = record
    end
  end
  return found or failure.raise("not_found", "there is no candidate '%s'; `weir candidates` lists them", given)
end

local ENDS = { promoted = "kept", rolled_back = "reverted", stopped = "reverted" }

--- What becomes of a candidate that took a part of the runs, when that has ended.
---@param store weir.Store
---@param full string of the module or pipeline
---@param version string that was on trial
---@param state "promoted"|"rolled_back"|"stopped"
---@param reason string|nil
---@return table[] operations
function M.settled(store, full, version, state, reason)
  local operations = {}
  for found in pages.rows(store, M.space, {}) do -- it may be older than any number of others
    local one = found.value
    local is_it = one.module == full and one.module_version == version
      or one.version == version and full == "pipelines/" .. one.pipeline and type(one.module) ~= "string"
    if one.state == "canary" and is_it then
      one.state, one.code, one.ended_ms = ENDS[state], state ~= "promoted" and state or nil, clock.wall_ms()
      one.why = ("%s%s"):format(state:gsub("_", " "), reason and ": " .. reason or "")
      operations[#operations + 1] = M.operation(one)
    end
  end
  return operations
end

local IS_OVER = { refused = true, kept = true, reverted = true }

--- Forgets what is over, is no more among the thousand newest of its pipeline, and is older than ninety days. Waits for the
--- disk.
---@param store weir.Store
---@param now_ms integer
---@return integer removed
function M.expire(store, now_ms)
  local place, pipeline = 0, nil
  return sweep.rows(store, M.space, pages.keys_back(store, M.space), function(found)
    local own = found.key:match "^(.*)/"
    place, pipeline = own == pipeline and place + 1 or 1, own
    return place > NEWEST and IS_OVER[found.value.state] and (found.value.at_ms or 0) + KEPT_MS <= now_ms
  end)
end

return M
