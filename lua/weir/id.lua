--- Ids of runs, approvals, schedules and items of queues: a letter, then 20 characters that sort by time.

local clock = require "weir.port.clock"
local random = require "weir.port.random"

local M = {}

local DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
local TIME_DIGITS, RANDOM_DIGITS = 9, 11
local ORDER_DIGITS, ORDERED_RANDOM_DIGITS = 4, 7 -- of ids in a row
local ORDERS = 36 ^ 4

-- Two places at a time, made when they are needed first.
local PAIRS = setmetatable({}, { __index = function(made, value)
  local pair = DIGITS:sub(value // 36 + 1, value // 36 + 1) .. DIGITS:sub(value % 36 + 1, value % 36 + 1)
  made[value] = pair
  return pair
end })

local function base36(number, digits)
  local text = ""
  for _ = 1, digits // 2 do
    text = PAIRS[number % 1296] .. text
    number = number // 1296
  end
  if digits % 2 == 0 then return text end
  local digit = number % 36 + 1
  return DIGITS:sub(digit, digit) .. text
end

local last_ms, last_prefix = -1, ""

--- A new id. Two ids of different milliseconds sort by time.
---@param letter "r"|"a"|"s"
---@return string
function M.new(letter)
  local ms = clock.wall_ms()
  if ms ~= last_ms then last_ms, last_prefix = ms, base36(ms, TIME_DIGITS) end
  return letter .. "_" .. last_prefix .. base36(random.integer(), RANDOM_DIGITS)
end

local row_ms, row_order = -1, 0

--- A new id that sorts after all that this process has been given in a row, whatever the clock does.
---@param letter "q"|"u"|"e"
---@return string
function M.in_a_row(letter)
  local ms = clock.wall_ms()
  row_order = row_order + 1
  if ms > row_ms or row_order == ORDERS then row_ms, row_order = math.max(ms, row_ms + 1), 0 end
  return letter .. "_" .. base36(row_ms, TIME_DIGITS) .. base36(row_order, ORDER_DIGITS) .. base36(random.integer(), ORDERED_RANDOM_DIGITS)
end

--- What sorts behind all ids that were given before a moment, and before all that are given from then on.
---@param letter string
---@param ms integer since 1970
---@return string
function M.bound(letter, ms)
  return letter .. "_" .. base36(math.max(0, ms), TIME_DIGITS)
end

--- Has `in_a_row` give ids that sort behind one of an earlier life, also when the clock was set back since.
---@param id string of `in_a_row`
function M.go_on_after(id)
  local ms = math.tointeger(tonumber(id:sub(3, 2 + TIME_DIGITS), 36))
  if ms and ms >= row_ms then row_ms, row_order = ms + 1, -1 end
end

return M
