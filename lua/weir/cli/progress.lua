--- What a run shows on stderr while it goes on: lines, or on a terminal a live display. Both listen to the
--- same events of the engine.

local text = require "weir.cli.text"

local M = {}

local EVERY = 2 -- seconds between two lines about one map
local FAILURES_SHOWN = 10 -- of the items of one map

---@class weir.cli.Progress
---@field notify fun(self, event: table) the run's listener
---@field say fun(self, line: string) writes a line that stays
---@field close fun(self) leaves nothing on the screen but what is to stay

local COLOURS = { finished = "green", failed = "red", cancelled = "yellow", skipped = "dim", running = "cyan", waiting = "yellow",
  in_doubt = "yellow", quarantined = "red", begun = "yellow" }

--- The sign of a status, in its colour.
function M.sign(console, status)
  return console.err:paint(COLOURS[status] or "dim", console.signs[status] or status)
end

--- Whether a step is one of a map's item; there may be a hundred thousand of them.
---@param key string
---@return boolean
function M.is_inner(key)
  return key:find("[", 1, true) ~= nil
end

--- What is said of a step that ended: `✓ write  1.2 s  3 attempts`, `✗ write  12 ms  message (code)`.
---@param console weir.cli.Console
---@param event table {step, status, seconds, attempt, error, done, total}
---@return string
function M.step_line(console, event)
  local parts = { M.sign(console, event.status) .. " " .. event.step }
  if event.total then parts[#parts + 1] = text.count(event.total, "item") end
  if event.seconds then parts[#parts + 1] = console.err:paint("dim", text.duration(event.seconds)) end
  if event.attempt and event.attempt > 1 then parts[#parts + 1] = text.count(event.attempt, "attempt") end
  if event.status == "skipped" then parts[#parts + 1] = console.err:paint("dim", "skipped") end
  if event.error and event.status == "failed" then
    parts[#parts + 1] = console.err:paint("red", ("%s (%s)"):format(text.first_line(event.error.message), event.error.code))
  end
  return table.concat(parts, "  ")
end

local PLAN_SAYS = { planned = "planned", failed = "the plan failed" }

local function plan_line(console, event)
  local what = PLAN_SAYS[event.status]
  if not what then return nil end
  local version = event.version and " " .. event.version:sub(1, 12) or ""
  local how = event.status == "failed" and event.error and ": " .. text.first_line(event.error.message)
    or event.reused and (" as for %s"):format(event.reused) or (" by %s"):format(event.planner)
  return ("%s %s  %s%s%s"):format(console.err:paint("dim", console.signs.wait), event.step, what, version, how)
end

--- Lines about what happens beside the steps' ends; nil for what nobody needs to see.
---@return string|nil
function M.note_line(console, event)
  local err = console.err
  if event.kind == "print" then return ("%s: %s"):format(err:paint("dim", event.step), text.safe(event.text)) end
  if event.kind == "log" and event.level ~= "debug" then
    local style = event.level == "error" and "red" or event.level == "warn" and "yellow" or "dim"
    return ("%s: %s%s"):format(err:paint("dim", event.step), err:paint(style, event.level .. ": "), text.safe(event.text))
  end
  if event.step and M.is_inner(event.step) then return nil end
  if event.kind == "retry" then
    return ("%s %s  attempt %d failed: %s; again in %s"):format(err:paint("yellow", console.signs.wait), event.step, event.attempt,
      text.first_line(event.error.message), text.duration(event.delay or 0))
  end
  if event.kind == "plan" then return plan_line(console, event) end
  if event.kind == "verdict" and event.verdict ~= "approve" then
    local advice = event.advice and (": " .. text.first_line(event.advice)) or ""
    return ("%s %s  the critic says %s%s"):format(err:paint("yellow", console.signs.wait), event.step, event.verdict, advice)
  end
  if event.kind == "decision" and event.winner then
    return ("%s %s  '%s' won"):format(M.sign(console, "finished"), event.step, event.winner)
  end
end

--- The line about a step of a map's item: only failures have one, and of a map only so many.
---@param display { console: weir.cli.Console, failures: table<string, integer> }
---@param event table
---@return string|nil
function M.inner_line(display, event)
  if event.status ~= "failed" then return nil end
  local map = event.step:match "^[^%[]+"
  local count = (display.failures[map] or 0) + 1
  display.failures[map] = count
  if count <= FAILURES_SHOWN then return M.step_line(display.console, event) end
  if count > FAILURES_SHOWN + 1 then return nil end
  return ("%s %s  more items failed; `weir show` tells"):format(M.sign(display.console, "failed"), map)
end

-- Lines ------------------------------------------------------------------------------------------

local Lines = {}
Lines.__index = Lines

local function say_progress(self, event)
  self.totals[event.step] = event.total
  if M.is_inner(event.step) or event.done == event.total then return end
  local now = require("weir.port.clock").now()
  local said = self.said[event.step] or self.began
  if now - said < EVERY then return end
  self.said[event.step] = now
  local of = event.total and (" of %d"):format(event.total) or ""
  local failed = (event.failed or 0) > 0 and (", %d failed"):format(event.failed) or ""
  local left = event.eta_s and (", about %s left"):format(text.duration(event.eta_s)) or ""
  self.console.err:line(("%s %s  %d%s%s%s"):format(self.console.signs.running, event.step, event.done, of, failed, left))
end

local function line_of(self, event)
  if event.kind ~= "step" then return M.note_line(self.console, event) end
  if M.is_inner(event.step) then return M.inner_line(self, event) end
  return M.step_line(self.console, event)
end

function Lines:notify(event)
  if event.kind == "progress" then return say_progress(self, event) end
  if event.kind == "step" then
    if event.status == "running" then return end
    event.total = self.totals[event.step]
  end
  local line = line_of(self, event)
  if line then self.console.err:line(line) end
end

function Lines:say(line)
  self.console.err:line(line)
end

function Lines.close() end

local function lines(console)
  return setmetatable({ console = console, totals = {}, said = {}, failures = {}, began = require("weir.port.clock").now() }, Lines)
end

-- Nothing but what the run itself says
local Quiet = {}
Quiet.__index = Quiet

function Quiet:notify(event)
  local is_said = event.kind == "print" or event.kind == "log"
  local line = is_said and M.note_line(self.console, event)
  if line then self.console.err:line(line) end
end

Quiet.say, Quiet.close = Lines.say, Lines.close

--- The display for a console.
---@param console weir.cli.Console
---@param options { quiet: boolean?, plain: boolean? } plain: lines even on a terminal
---@return weir.cli.Progress
function M.new(console, options)
  if options.quiet then return setmetatable({ console = console }, Quiet) end
  if console.err.is_live and not options.plain then return require("weir.cli.live").new(console) end
  return lines(console)
end

return M
