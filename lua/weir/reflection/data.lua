--- What a candidate is measured on: inputs that the definition gives as examples, and those of earlier runs; which of them the
--- reflection may learn from, and which are held out.

local failure = require "weir.failure"
local hash = require "weir.native.hash"
local journal = require "weir.run.journal"
local json = require "weir.native.json"
local pages = require "weir.pages"

local M = {}

local LOOKED_AT = 400 -- runs, the newest first

---@class weir.reflection.Input
---@field hash string        of the input, 16 characters
---@field run string|nil     that has this input; its outcomes are used again
---@field example integer|nil which of `reflect.examples`, from 1
---@field is_held_out boolean

--- What identifies an input. Pure.
---@param input any
---@return string 16 hexadecimal digits
function M.hash(input)
  return hash.sha256(assert(json.encode(input, { canonical = true }))):sub(1, 16)
end

local function place_of(text) return tonumber(text:sub(1, 8), 16) / 0x100000000 end

--- Says which inputs are held out: those whose hash falls into the share, so that an input stays on its side whatever comes
--- beside it. With two or more neither side is left empty, if a share is wanted at all. Pure.
---@param inputs weir.reflection.Input[] gets `is_held_out`
---@param share number 0..1
---@return weir.reflection.Input[] inputs
function M.split(inputs, share)
  local lowest, highest, held = nil, nil, 0
  for _, one in ipairs(inputs) do
    one.is_held_out = place_of(one.hash) < share
    held = held + (one.is_held_out and 1 or 0)
    if not lowest or one.hash < lowest.hash then lowest = one end
    if not highest or one.hash > highest.hash then highest = one end
  end
  if #inputs >= 2 and share > 0 and held == 0 then lowest.is_held_out = true end
  if #inputs >= 1 and held == #inputs and (#inputs >= 2 or share < 1) then highest.is_held_out = false end
  return inputs
end

-- Finished runs of a pipeline that somebody started, the newest first.
local function finished_runs(store, pipeline)
  local each, left = pages.runs(store, { status = "finished", reverse = true }), LOOKED_AT
  return function()
    while left > 0 do
      left = left - 1
      local found = each()
      if not found then return nil end
      if found.row and found.row.pipeline == pipeline then return found.id end
    end
  end
end

--- The input of a run; nil when its journal cannot be read.
---@param store weir.Store
---@param run_id string
---@return any
function M.input_of(store, run_id)
  local entries = store:load(run_id)
  local first = entries and entries[1]
  if not first or first[1] ~= "run" then return nil end
  return journal.head_of(entries).input
end

--- Collects the inputs: those of the definition, that of the run that is reflected on, those of the newest runs; each once.
--- Yields.
---@param store weir.Store
---@param pipeline string
---@param reflect table of the definition
---@param run_id string|nil that is reflected on
---@param check fun(input: any): boolean, any what the definition makes of an input
---@return weir.reflection.Input[]
function M.collect(store, pipeline, reflect, run_id, check)
  local inputs, by_hash, recorded = {}, {}, 0
  local function add(input, about)
    local fits, checked = check(input)
    if not fits then return end
    local id = M.hash(checked)
    local known = by_hash[id]
    if known then
      known.run = known.run or about.run
      return
    end
    if about.run and recorded >= reflect.recorded then return end
    recorded = recorded + (about.run and 1 or 0)
    about.hash, by_hash[id], inputs[#inputs + 1] = id, about, about
  end
  for index, example in ipairs(reflect.examples or {}) do add(example, { example = index }) end
  local function add_run(id)
    local input = M.input_of(store, id)
    if input ~= nil then add(input, { run = id }) end
  end
  if run_id then add_run(run_id) end
  for id in finished_runs(store, pipeline) do
    if id ~= run_id then add_run(id) end
  end
  return inputs
end

--- The value of an input. Raises `not_found` when its run is gone.
---@param store weir.Store
---@param reflect table
---@param one weir.reflection.Input
---@return any
function M.value(store, reflect, one)
  if one.example then return reflect.examples[one.example] end
  local input = M.input_of(store, one.run)
  if input == nil then failure.raise("not_found", "run %s is gone, whose input was to be measured on", one.run) end
  return input
end

return M
