--- Patterns and moments drawn at random, against npm's croner where both define the same. WEIR_PATTERNS says how many; the
--- nightly test draws 100,000.

local cron = require "weir.schedule.cron"
local json = require "weir.native.json"
local process = require "weir.port.process"
local times_of = require "weir.schedule.times"
local uv = require "luv"
local zone_of = require "weir.schedule.zone"

local PATTERNS = math.tointeger(tonumber(os.getenv "WEIR_PATTERNS")) or 2000
local PEERS = os.getenv "WEIR_PEERS" or (os.getenv "HOME" or "") .. "/.cache/weir/peers"
local COUNT, AT_ONCE = 3, 5000

-- Zones of which both have the same rules, whichever tzdata each has (Cuba has changed its own for 2026), and whose gaps end
-- on the day on which they begin.
local ZONES = { "UTC", "UTC", "Europe/Berlin", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu",
  "Asia/Tokyo", "America/Sao_Paulo", "Pacific/Chatham", "Australia/Sydney" }
local FROM, TO = 946684800, 2114380800 -- 2000 to 2037

local MONTHS = { "JAN", "feb", "Mar", "APR", "may", "JUN", "jul", "AUG", "sep", "OCT", "nov", "DEC" }
local WEEKDAYS = { "SUN", "mon", "TUE", "wed", "Thu", "FRI", "sat" }

local function missing()
  if not uv.fs_stat(PEERS .. "/node_modules/croner") then return "no croner; .ci/peers installs it" end
  local found = process.run({ "node", "--version" }, {})
  if not found or found.status ~= 0 then return "no node" end
end

-- Drawing ------------------------------------------------------------------------------------------------------

local random = math.random

local function one_in(n) return random(n) == 1 end

local function value_of(first, last, names)
  local value = random(first, last)
  if names and one_in(3) and names[value - first + 1] then return names[value - first + 1] end
  return tostring(value)
end

local function range_of(first, last)
  local from = random(first, last)
  local text = ("%d-%d"):format(from, random(from, last))
  if one_in(2) then text = ("%s/%d"):format(text, random(1, last)) end
  return text
end

local function entry_of(first, last, names)
  local kind = random(10)
  if kind <= 6 then return value_of(first, last, names) end
  if kind <= 9 then return range_of(first, last) end
  return ("*/%d"):format(random(1, last))
end

local function field_of(first, last, names, wild)
  if one_in(wild) then return one_in(4) and ("*/%d"):format(random(1, last)) or "*" end
  local entries = {}
  for index = 1, one_in(3) and random(4) or 1 do entries[index] = entry_of(first, last, names) end
  return table.concat(entries, ",")
end

local function day_field()
  local kind = random(14)
  if kind == 1 then return "L" end
  if kind == 2 then return random(1, 31) .. "W" end
  if kind == 3 then return "?" end
  return field_of(1, 31, nil, 2)
end

local function weekday_field()
  local kind = random(14)
  if kind == 1 then return ("%s#%d"):format(value_of(0, 6, WEEKDAYS), random(5)) end
  if kind == 2 then return value_of(0, 6, WEEKDAYS) .. "#L" end
  local field = field_of(0, 6, WEEKDAYS, 2)
  return field ~= "*" and one_in(8) and "+" .. field or field
end

local function pattern_of()
  local fields = { field_of(0, 59, nil, 3), field_of(0, 23, nil, 3), day_field(), field_of(1, 12, MONTHS, 2), weekday_field() }
  if one_in(3) then table.insert(fields, 1, field_of(0, 59, nil, 8)) end
  if #fields == 6 and one_in(4) then
    local year = random(2000, 2040)
    fields[7] = ("%d-%d"):format(year, year + random(0, 20))
  end
  return table.concat(fields, " ")
end

-- Comparing ----------------------------------------------------------------------------------------------------

local function ours(pattern, zone, from)
  local parsed = cron.parse(pattern)
  if not parsed then return {} end
  local times, list = times_of.new(parsed, assert(zone_of.open(zone))), {}
  for index = 1, COUNT do
    from = times:next(from)
    if not from then break end
    list[index] = from
  end
  return list
end

local function theirs(asked)
  local lines = {}
  for index, one in ipairs(asked) do lines[index] = json.encode(one) end
  local done = assert(process.run({ "node", "spec/lua/weir/schedule/croner.mjs", PEERS },
    { stdin = table.concat(lines, "\n") .. "\n", timeout = 250, limit = 64 << 20 }))
  assert.equal(0, done.status, done.stderr)
  local answers = {}
  for line in done.stdout:gmatch "[^\n]+" do answers[#answers + 1] = json.decode(line) end
  assert.equal(#asked, #answers)
  return answers
end

local function same(a, b)
  for index = 1, COUNT do
    if a[index] ~= b[index] then return false end
  end
  return true
end

describe("patterns drawn at random", function()
  local why = missing()
  if why then return pending(("fire when croner says so (%s)"):format(why)) end

  it(("fire when croner says so: %d of them"):format(PATTERNS), function()
    math.randomseed(math.tointeger(tonumber(os.getenv "WEIR_SEED")) or 20261125)
    local left = PATTERNS
    while left > 0 do
      local asked = json.list {}
      for index = 1, math.min(left, AT_ONCE) do
        asked[index] = json.list { pattern_of(), ZONES[random(#ZONES)], random(FROM, TO), COUNT }
      end
      for index, answer in ipairs(theirs(asked)) do
        local pattern, zone, from = asked[index][1], asked[index][2], asked[index][3]
        local mine = ours(pattern, zone, from)
        assert.is_nil(answer.refused, pattern)
        assert.is_true(same(mine, answer), ("'%s' in %s from %d: %s, croner has %s"):format(pattern, zone, from, json.encode(json.list(mine)),
          json.encode(answer)))
      end
      left = left - #asked
    end
  end)
end)
