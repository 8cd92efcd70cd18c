--- Ids of runs, approvals and schedules: a letter, then 20 characters that sort by time.

local clock = require "weir.port.clock"
local random = require "weir.port.random"

local M = {}

local DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
local TIME_DIGITS, RANDOM_DIGITS = 9, 11

-- Two places at a time.
local PAIRS = {}
for value = 0, 36 * 36 - 1 do
  PAIRS[value] = DIGITS:sub(value // 36 + 1, value // 36 + 1) .. DIGITS:sub(value % 36 + 1, value % 36 + 1)
end

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

return M
