--- Ids of runs, approvals and schedules: a letter, then 20 characters that sort by time.

local clock = require "weir.port.clock"
local random = require "weir.port.random"

local M = {}

local DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
local TIME_DIGITS, RANDOM_DIGITS = 9, 11

local function base36(number, digits)
  local text = {}
  for place = digits, 1, -1 do
    local digit = number % 36
    text[place] = DIGITS:sub(digit + 1, digit + 1)
    number = number // 36
  end
  return table.concat(text)
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
