--- The live display of a run on a terminal: a line per running step below the lines of those that ended.
--- Whatever is to stay on the screen is written above the part that is redrawn. Redrawn ten times a
--- second at most, by a timer that keeps nobody alive; events only change what the next drawing shows.

local clock = require "weir.port.clock"
local progress = require "weir.cli.progress"
local text = require "weir.cli.text"
local uv = require "luv"

local M = {}

local EVERY_MS, BAR_WIDTH, LABEL_WIDTH = 100, 24, 28
local GUESS_AFTER = 2 -- seconds before the rest of a map is guessed
local SPINNER = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" }
local PLAIN_SPINNER = { "|", "/", "-", "\\" }

---@class weir.cli.Live : weir.cli.Progress
---@field rows table[] what is drawn, in the order in which it began: {key, from, event, done, total, latest}
---@field kept string[] lines that are to stay, not yet written
---@field drawn integer lines of the last drawing
local Live = {}
Live.__index = Live

-- What happened ----------------------------------------------------------------------------------

local function row_of(self, key)
  local row = self.by_key[key]
  if row then return row end
  row = { key = key, from = clock.now() }
  self.by_key[key] = row
  self.rows[#self.rows + 1] = row
  return row
end

local function inner_step(self, event)
  local row = self.by_key[event.step:match "^[^%[]+"]
  if row and event.status == "running" then row.latest = event.step:sub(#row.key + 1) end
  self.kept[#self.kept + 1] = progress.inner_line(self, event)
end

local function outer_step(self, event)
  local row = row_of(self, event.step)
  if event.status == "running" then return end
  event.total = row.total
  row.ended = event
end

-- The oldest rows that ended leave the part that is redrawn.
local function settle(self)
  while self.rows[1] and self.rows[1].ended do
    local row = table.remove(self.rows, 1)
    self.by_key[row.key] = nil
    self.kept[#self.kept + 1] = progress.step_line(self.console, row.ended)
  end
end

function Live:notify(event)
  if event.kind == "progress" then
    if progress.is_inner(event.step) then return end
    local row = row_of(self, event.step)
    row.done, row.total = event.done, event.total
  elseif event.kind == "step" then
    if progress.is_inner(event.step) then return inner_step(self, event) end
    outer_step(self, event)
    settle(self)
  else
    local line = progress.note_line(self.console, event)
    if line then self.kept[#self.kept + 1] = line end
  end
  if self.is_closed then self:draw() end
end

--- Writes a line that stays.
---@param line string
function Live:say(line)
  self.kept[#self.kept + 1] = line
  self:draw()
end

-- Drawing ----------------------------------------------------------------------------------------

local function guess(row, elapsed)
  if not row.done or row.done < 3 or elapsed < GUESS_AFTER or not row.total or row.done >= row.total then
    return ""
  end
  return (", about %s left"):format(text.duration(elapsed / row.done * (row.total - row.done)))
end

local function running_line(self, row, now, columns)
  local err, elapsed = self.console.err, now - row.from
  local frame = self.spinner[math.floor(now * 10) % #self.spinner + 1]
  local label = text.pad(text.shorten(row.key, LABEL_WIDTH), math.min(LABEL_WIDTH, self.label_width))
  local line = ("%s %s"):format(err:paint("cyan", row.ended and self.console.signs[row.ended.status] or frame), label)
  if row.total then
    local bar = text.bar(row.total > 0 and row.done / row.total or 1, BAR_WIDTH, self.console.signs)
    line = ("%s  %s %d/%d"):format(line, err:paint("cyan", bar), row.done, row.total)
  end
  line = line .. "  " .. err:paint("dim", text.duration(elapsed) .. guess(row, elapsed))
  local left = columns - text.width(line) - 3
  if row.latest and left > 12 then line = line .. "  " .. err:paint("dim", text.shorten(row.latest, left, self.console.signs.dots)) end
  return text.fit(line, columns, self.console.signs.dots)
end

local function running_lines(self)
  local columns, rows = self.console.err:size()
  if columns < 20 then columns, rows = 80, 24 end
  local now, lines, room = clock.now(), {}, math.max(1, rows - 3)
  self.label_width = 0
  for _, row in ipairs(self.rows) do self.label_width = math.max(self.label_width, text.width(row.key)) end
  for index, row in ipairs(self.rows) do
    if index > room then break end
    lines[index] = running_line(self, row, now, columns)
  end
  if #self.rows > room then lines[room + 1] = self.console.err:paint("dim", ("  and %d more"):format(#self.rows - room)) end
  return lines
end

--- Writes what is to stay, then what runs; in one piece, so that the terminal does not flicker.
function Live:draw()
  local parts = {}
  if self.drawn > 0 then parts[1] = ("\27[%dA\r\27[J"):format(self.drawn) end
  for _, line in ipairs(self.kept) do parts[#parts + 1] = line .. "\n" end
  self.kept = {}
  local lines = self.is_closed and {} or running_lines(self)
  for _, line in ipairs(lines) do parts[#parts + 1] = line .. "\n" end
  self.drawn = #lines
  if #parts > 0 then self.console.err:write(table.concat(parts)) end
end

--- Clears what is redrawn; what ended stays, a line per step. Safe twice.
function Live:close()
  if self.is_closed then return end
  self.is_closed = true
  self:draw()
  self.timer:close()
end

--- A live display. `console.err` is a terminal.
---@param console weir.cli.Console
---@return weir.cli.Live
function M.new(console)
  local self = setmetatable({ console = console, rows = {}, by_key = {}, failures = {}, kept = {}, drawn = 0, label_width = 0,
    spinner = console.is_unicode and SPINNER or PLAIN_SPINNER, timer = uv.new_timer() }, Live)
  self.timer:start(EVERY_MS, EVERY_MS, function()
    if not self.is_closed then self:draw() end
  end)
  self.timer:unref()
  return self
end

return M
