--- Which lines two texts have in common, and where they differ. Lines that stand once in both are the landmarks
--- (patience diff: the longest run of them in order, found as in Schensted, "Longest increasing and decreasing
--- subsequences", 1961); between two landmarks the same is asked again, and where there are none the longest
--- common subsequence is looked for, if that is cheap. Pure.

local M = {}

local CELLS_MAX = 250000 -- of one table of the common subsequence; what is larger counts as changed as a whole

--- The lines of a text, without their ends, and whether the last one has an end.
---@param text string
---@return string[] lines none of an empty text
---@return boolean is_ended
function M.lines(text)
  local lines = {}
  if text == "" then return lines, false end
  local is_ended = text:byte(-1) == 10
  for line in (is_ended and text or text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines, is_ended
end

-- Where each line stands that stands once in a[first..last]; false: more than once.
local function places_of(list, first, last)
  local places = {}
  for at = first, last do
    local line = list[at]
    if places[line] == nil then places[line] = at else places[line] = false end
  end
  return places
end

-- The first pile whose top is above a value.
local function pile_for(tops, value)
  local low, high = 1, #tops + 1
  while low < high do
    local middle = (low + high) // 2
    if tops[middle].b < value then low = middle + 1 else high = middle end
  end
  return low
end

-- The longest list of pairs, given in order of `a`, in which `b` rises as well; from its end to its beginning.
local function longest_rising(pairs_)
  local tops = {}
  for _, pair in ipairs(pairs_) do
    local pile = pile_for(tops, pair.b)
    pair.before = tops[pile - 1]
    tops[pile] = pair
  end
  return tops[#tops]
end

local function landmarks(a, a1, a2, b, b1, b2)
  local in_a, in_b, found = places_of(a, a1, a2), places_of(b, b1, b2), {}
  for at = a1, a2 do
    local other = in_a[a[at]] and in_b[a[at]]
    if other then found[#found + 1] = { a = at, b = other } end
  end
  local list, last = {}, longest_rising(found)
  while last do
    table.insert(list, last)
    last = last.before
  end
  return list -- from the end
end

-- The table of lengths of common subsequences, for what begins at each pair of lines.
local function lengths_of(a, a1, a2, b, b1, b2)
  local rows, below = {}, {}
  for other = b1, b2 + 1 do below[other] = 0 end
  rows[a2 + 1] = below
  for at = a2, a1, -1 do
    local row, line = { [b2 + 1] = 0 }, a[at]
    for other = b2, b1, -1 do
      row[other] = line == b[other] and below[other + 1] + 1 or math.max(below[other], row[other + 1])
    end
    rows[at], below = row, row
  end
  return rows
end

local function match_common(a, a1, a2, b, b1, b2, matched)
  if a1 > a2 or b1 > b2 or (a2 - a1 + 1) * (b2 - b1 + 1) > CELLS_MAX then return end
  local rows = lengths_of(a, a1, a2, b, b1, b2)
  local at, other = a1, b1
  while at <= a2 and other <= b2 do
    if a[at] == b[other] then
      matched[at] = other
      at, other = at + 1, other + 1
    elseif rows[at + 1][other] >= rows[at][other + 1] then
      at = at + 1
    else
      other = other + 1
    end
  end
end

local function match(a, a1, a2, b, b1, b2, matched)
  while a1 <= a2 and b1 <= b2 and a[a1] == b[b1] do
    matched[a1] = b1
    a1, b1 = a1 + 1, b1 + 1
  end
  while a1 <= a2 and b1 <= b2 and a[a2] == b[b2] do
    matched[a2] = b2
    a2, b2 = a2 - 1, b2 - 1
  end
  if a1 > a2 or b1 > b2 then return end
  local marks = landmarks(a, a1, a2, b, b1, b2)
  if #marks == 0 then return match_common(a, a1, a2, b, b1, b2, matched) end
  for _, mark in ipairs(marks) do
    match(a, mark.a, a2, b, mark.b, b2, matched)
    a2, b2 = mark.a - 1, mark.b - 1
  end
  match(a, a1, a2, b, b1, b2, matched)
end

--- The lines that both have, in an order that both keep.
---@param a string[]
---@param b string[]
---@return table<integer, integer> matched place in `a` to the place in `b`
function M.match(a, b)
  local matched = {}
  match(a, 1, #a, b, 1, #b, matched)
  return matched
end

--- How two texts differ: lines that begin with `-` (gone) or `+` (new), in their order, each with its number.
---@param before string
---@param after string
---@return string[] such as {"-2 b", "+2 B"}
function M.changes(before, after)
  local a, b = M.lines(before), M.lines(after)
  local matched, lines, other = M.match(a, b), {}, 1
  local function add_new(to)
    for at = other, to do lines[#lines + 1] = ("+%d %s"):format(at, b[at]) end
  end
  for at, line in ipairs(a) do
    if matched[at] then
      add_new(matched[at] - 1)
      other = matched[at] + 1
    else
      lines[#lines + 1] = ("-%d %s"):format(at, line)
    end
  end
  add_new(#b)
  return lines
end

return M
