--- Yesterday's events against another definition: which of them would start a run, with which input, and how the runs that
--- they started would go on, from what was recorded of them. Nothing is executed and nothing is written.

local binding = require "weir.run.binding"
local failure = require "weir.failure"
local log = require "weir.event.log"
local rehearsal = require "weir.run.rehearsal"
local rules_of = require "weir.trigger.rules"
local value_of = require "weir.value"

local M = {}

local EVENTS_MAX = 10000
local FROM_OUTSIDE = { api = true, hook = true, cli = true, run = true }

---@class weir.Rehearsed
---@field offset string
---@field event weir.Event
---@field trigger string
---@field change "same"|"starts"|"stays_away"|"input"|"refused"|"diverges"|"output"
---@field was any      input, or output
---@field would any
---@field run string|nil
---@field message string|nil

-- Whether an event is one that a source would give: those of watchers name it, those from outside are told by its options.
local function is_given(rules, entry)
  if not FROM_OUTSIDE[entry.from] then return entry.from == rules.id end
  local options = rules.options
  if rules.watcher == "webhook" then return entry.from == "hook" and entry.event.source == "/hooks/" .. tostring(options.path) end
  if rules.watcher ~= "event" or options.absent ~= nil then return false end
  if options.type and not log.is_of_type(options.type, entry.event.type) then return false end
  return not options.source or log.is_of_type(options.source, entry.event.source)
end

-- What a trigger makes of an event: an input; or nil, and why it cannot be one.
local function outcome(rules, plan, entry)
  if not rules or not is_given(rules, entry) then return nil end
  if rules.filter and not rules.filter { event = entry.event, run = {} } then return nil end
  local ok, input = pcall(rules.input, entry.event)
  if not ok then return nil, failure.of(input).message end
  local fits, checked = plan.check_input(value_of.copy(input))
  if not fits then return nil, checked end
  return checked
end

-- The runs that events have started, by trigger and event.
local function runs_of(store, pipeline)
  local found, after = {}, nil
  repeat
    local page = store:runs { after = after, limit = 1000, with = { "pipeline", pipeline }, damaged = true }
    if not page then failure.raise("failed", "runs cannot be listed") end
    for _, one in ipairs(page) do
      local trigger = one.row and type(one.row.key) == "string" and one.row.key:match "^on/(.+)/q_"
      local entries = trigger and store:entries(one.id, 0, 1)
      local offset = entries and entries[1] and entries[1][2].event_offset
      if type(offset) == "string" then found[trigger .. " " .. offset] = { id = one.id, row = one.row } end
    end
    local last = page[#page]
    after = last and (last.rest or #page == 1000) and last.id or nil
  until not after
  return found
end

local function output_of(store, run_id)
  local entries = store:load(run_id)
  local last = entries and entries[#entries]
  return last and last[1] == "end" and last[2] == "finished" and last[3] or nil
end

-- How the run of an event would go on, from what was recorded of it.
local function replayed(self, run)
  local divergence, replay = rehearsal.replay(self.engine, run.id, self.new_plan, binding.hold_own(self.engine, self.new_plan))
  if divergence then return "diverges", nil, nil, divergence.message end
  local was = output_of(self.engine.store, run.id)
  if replay.status == "finished" and not value_of.equal(replay.output, was) then return "output", was, replay.output end
  return "same"
end

local function compare(self, id, entry)
  local was, was_broken = outcome(self.old[id], self.old_plan, entry)
  local would, broken = outcome(self.new[id], self.new_plan, entry)
  if was == nil and not was_broken and would == nil and not broken then return nil end
  local found = { offset = entry.offset, event = entry.event, trigger = id, was = was, would = would, change = "same" }
  local run = self.runs[id .. " " .. entry.offset]
  found.run = run and run.id
  if broken then
    found.change, found.message = "refused", broken
  elseif would == nil then
    found.change = "stays_away"
  elseif was == nil then
    found.change = "starts"
  elseif not value_of.equal(was, would) then
    found.change = "input"
  elseif run and run.row.status == "finished" then
    found.change, found.was, found.would, found.message = replayed(self, run)
  end
  return found
end

local function by_id(list)
  local found = {}
  for _, rules in ipairs(list) do found[rules.id] = rules end
  return found
end

--- Compares what events of the log did with what they would do under another definition. Waits for as long as that takes to
--- compute. Raises `not_found`, `corrupt`, `invalid`.
---@param engine weir.Engine
---@param old weir.Definition that serves
---@param new weir.Definition of the same name
---@param query { after: string|nil, limit: integer|nil }|nil after: an offset; limit: events, default 10000
---@return weir.Rehearsed[] one for each trigger and event that starts a run under one of them
---@return boolean is_all false: there are more events
function M.compare(engine, old, new, query)
  query = query or {}
  local self = { engine = engine, old = by_id(rules_of.of(old)), new = by_id(rules_of.of(new)), old_plan = engine:plan_of(old),
    new_plan = engine:plan_of(new), runs = runs_of(engine.store, old.name) }
  local ids = {}
  for _, set in ipairs { self.old, self.new } do
    for id in pairs(set) do ids[id] = true end
  end
  local found, after, left = {}, query.after, query.limit or EVENTS_MAX
  repeat
    local entries, more = log.page(engine.store, { after = after, limit = math.min(left, 1000) })
    for _, entry in ipairs(entries) do
      for _, id in ipairs(value_of.names(ids)) do found[#found + 1] = compare(self, id, entry) end
    end
    after, left = more, left - #entries
  until not after or left <= 0
  return found, after == nil
end

return M
