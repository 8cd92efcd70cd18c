--- The three-way merge of texts by lines: two writers began with one text, and what each changed is in the
--- result. Where both changed the same lines, or lines that touch, and not to the same, nobody can know what is
--- meant: that is a conflict, which names the lines. How the three texts are cut into pieces that are the same in
--- all and pieces that are not: Khanna, Kunal and Pierce, "A Formal Investigation of Diff3", 2007. Pure.

local difference = require "weir.text.difference"

local M = {}

local BYTES_MAX = 4 * 1024 * 1024 -- of each text

---@class weir.text.MergeConflict
---@field first integer   the first line of the text before, from 1, that both changed; of lines that both put in, the
---   line before which they stand
---@field last integer    the last one; below `first` where both put lines in
---@field base string[]   these lines
---@field ours string[]   what stands in their place
---@field theirs string[]

local function slice(list, first, last)
  return table.move(list, first, last, 1, {})
end

local function is_same(a, b)
  if #a ~= #b then return false end
  for index, line in ipairs(a) do
    if b[index] ~= line then return false end
  end
  return true
end

local function add_all(list, more)
  table.move(more, 1, #more, #list + 1, list)
end

-- One piece that is not the same in all three: what one side left as it was is what the other says.
local function add_piece(self, base, ours, theirs, at)
  if is_same(ours, theirs) or is_same(base, theirs) then return add_all(self.lines, ours) end
  if is_same(base, ours) then return add_all(self.lines, theirs) end
  local conflict = { first = at, last = at + #base - 1, base = base, ours = ours, theirs = theirs }
  self.conflicts[#self.conflicts + 1] = conflict
  add_all(self.lines, { "<<<<<<< ours" })
  add_all(self.lines, ours)
  add_all(self.lines, { "||||||| before" })
  add_all(self.lines, base)
  add_all(self.lines, { "=======" })
  add_all(self.lines, theirs)
  add_all(self.lines, { ">>>>>>> theirs" })
end

-- Walks from one line that all three have to the next; what lies between is a piece.
local function walk(base, ours, theirs)
  local self = { lines = {}, conflicts = {} }
  local in_ours, in_theirs = difference.match(base, ours), difference.match(base, theirs)
  local b, o, t = 1, 1, 1 -- where the piece begins
  for at = 1, #base + 1 do
    local is_end = at > #base
    local mine, other = is_end and #ours + 1 or in_ours[at], is_end and #theirs + 1 or in_theirs[at]
    if mine and other then
      if at > b or mine > o or other > t then
        add_piece(self, slice(base, b, at - 1), slice(ours, o, mine - 1), slice(theirs, t, other - 1), b)
      end
      if not is_end then self.lines[#self.lines + 1] = base[at] end
      b, o, t = at + 1, mine + 1, other + 1
    end
  end
  return self
end

-- Whether the last line has an end: of three answers that are yes or no, two are the same.
local function choose(base, ours, theirs)
  if ours == base then return theirs end
  return ours
end

local function check_sizes(...)
  for _, text in ipairs { ... } do
    if #text > BYTES_MAX then return nil, ("texts of at most %d bytes are merged, got %d"):format(BYTES_MAX, #text), "limit" end
  end
  return true
end

--- Says where texts were not merged, for a message.
---@param conflicts weir.text.MergeConflict[]
---@return string such as "lines 3 to 5 and line 9"
function M.places(conflicts)
  local parts = {}
  for index = 1, math.min(#conflicts, 5) do
    local one = conflicts[index]
    if one.last < one.first then
      parts[index] = ("the place before line %d"):format(one.first)
    elseif one.last == one.first then
      parts[index] = ("line %d"):format(one.first)
    else
      parts[index] = ("lines %d to %d"):format(one.first, one.last)
    end
  end
  if #conflicts > 5 then parts[6] = ("%d more places"):format(#conflicts - 5) end
  local last = table.remove(parts)
  return #parts > 0 and table.concat(parts, ", ") .. " and " .. last or last
end

--- Merges two changed texts.
---@param base string what both began with
---@param ours string
---@param theirs string
---@return string|nil text nil when there is a conflict
---@return string|nil message which lines
---@return string|nil code `conflict`, `limit`
---@return { conflicts: weir.text.MergeConflict[], text: string }|nil details with `conflict`; text: merged but for the
---   conflicts, which stand between marks
function M.merge(base, ours, theirs)
  if ours == theirs or base == theirs then return ours end
  if base == ours then return theirs end
  local ok, message, code = check_sizes(base, ours, theirs)
  if not ok then return nil, message, code end
  local base_lines, base_ended = difference.lines(base)
  local our_lines, our_ended = difference.lines(ours)
  local their_lines, their_ended = difference.lines(theirs)
  local made = walk(base_lines, our_lines, their_lines)
  local is_ended = #made.lines > 0 and choose(base_ended, our_ended, their_ended)
  local text = table.concat(made.lines, "\n") .. (is_ended and "\n" or "")
  if #made.conflicts == 0 then return text end
  local is_one = #made.conflicts == 1 and made.conflicts[1].last <= made.conflicts[1].first
  local places = M.places(made.conflicts) .. (is_one and " was" or " were")
  return nil, places .. " changed by two writers, and not to the same", "conflict",
    { conflicts = made.conflicts, text = text }
end

return M
