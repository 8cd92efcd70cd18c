--- Quantiles of a stream of durations in bounded memory: how many fell into each of a fixed row of buckets whose bounds
--- grow by a constant factor, so that an answer is wrong by 5 % at most, wherever it lies.
---
--- Source: DDSketch, Masson, Rim and Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error
--- Guarantees", VLDB 2019; with a fixed range, so that it needs no collapsing. What is counted has a weight, so that
--- whoever keeps the sketch may let the past count for less. Pure; never waits.

local M = {}

local ERROR = 0.05
local FACTOR = (1 + ERROR) / (1 - ERROR)
local LOG_FACTOR = math.log(FACTOR)
local LEAST, MOST = 0.0001, 10000 -- seconds; what is beyond counts as the bound
local LAST = math.ceil(math.log(MOST / LEAST) / LOG_FACTOR)

--- The most buckets that a sketch can have.
M.buckets = LAST + 1

---@class weir.Sketch
---@field total number   of all weights
---@field low integer    first bucket with a weight; LAST + 1 when there is none
---@field high integer   last one
---@field weights table<integer, number>

--- An empty sketch.
---@return weir.Sketch
function M.new()
  return { total = 0, low = LAST + 1, high = -1, weights = {} }
end

local function bucket_of(seconds)
  if seconds <= LEAST then return 0 end
  return math.min(LAST, math.ceil(math.log(seconds / LEAST) / LOG_FACTOR))
end

local function add_to(sketch, bucket, weight)
  sketch.weights[bucket] = (sketch.weights[bucket] or 0) + weight
  sketch.total = sketch.total + weight
  if bucket < sketch.low then sketch.low = bucket end
  if bucket > sketch.high then sketch.high = bucket end
end

--- Counts one duration.
---@param sketch weir.Sketch
---@param seconds number 0 or more
---@param weight number above 0
function M.add(sketch, seconds, weight)
  add_to(sketch, bucket_of(seconds), weight)
end

--- Multiplies every weight; what is next to nothing afterwards is dropped.
---@param sketch weir.Sketch
---@param factor number
function M.scale(sketch, factor)
  local old = sketch.weights
  sketch.total, sketch.low, sketch.high, sketch.weights = 0, LAST + 1, -1, {}
  for bucket, weight in pairs(old) do
    if weight * factor > 1e-12 then add_to(sketch, bucket, weight * factor) end
  end
end

local function value_of(bucket)
  if bucket == 0 then return LEAST end
  return LEAST * FACTOR ^ bucket * 2 / (FACTOR + 1)
end

--- The duration below which a part of the weight lies.
---@param sketch weir.Sketch
---@param part number 0 to 1
---@return number|nil seconds nil when it is empty
function M.quantile(sketch, part)
  if sketch.total <= 0 then return nil end
  local rank, sum = part * sketch.total, 0
  for bucket = sketch.low, sketch.high do
    sum = sum + (sketch.weights[bucket] or 0)
    if sum >= rank and sum > 0 then return value_of(bucket) end
  end
  return value_of(sketch.high)
end

--- A sketch as plain data: bucket, weight, bucket, weight, ...
---@param sketch weir.Sketch
---@return number[]
function M.pack(sketch)
  local list = {}
  for bucket = sketch.low, sketch.high do
    local weight = sketch.weights[bucket]
    if weight then list[#list + 1], list[#list + 2] = bucket, weight end
  end
  return list
end

--- The sketch that was packed. What does not fit in is left out.
---@param list number[]|nil
---@return weir.Sketch
function M.unpack(list)
  local sketch = M.new()
  for index = 1, #(list or {}), 2 do
    local bucket, weight = math.tointeger(list[index]), list[index + 1]
    if bucket and bucket >= 0 and bucket <= LAST and type(weight) == "number" and weight > 0 then add_to(sketch, bucket, weight) end
  end
  return sketch
end

return M
