--- weir repl: talks Lua to the host of the project.

local history = require "weir.doors.history"
local json = require "weir.native.json"
local session = require "weir.cli.session"
local signals = require "weir.port.signals"
local status = require "weir.cli.status"
local stdin = require "weir.port.stdin"
local system = require "weir.port.system"
local talk_of = require "weir.doors.talk"
local text = require "weir.cli.text"

local M = {
  name = "repl",
  summary = "Attaches to the host that serves the project: every line is Lua, evaluated there.",
  examples = { "repl", "repl --new", "echo 'return #runs{}' | weir repl" },
  notes = "`?` lists what is at hand. A host that was started by `weir serve` lets you look only, unless it has --write.\n"
    .. "Without a terminal, lines are read from standard input. Exit status: 0, that of the last line that failed, 7 no host.",
}

local PROMPT, MORE = "weir> ", "   .. "

function M.declare(parser)
  parser:flag("--new", "a private host, in this process, with a store in memory unless --store names one")
  session.declare_store(parser)
end

-- Answers -------------------------------------------------------------------------------------------

local function say_error(context, err)
  context.err:line(context.err:paint("red", "error: ") .. text.safe(err.trace or err.message)
    .. context.err:paint("dim", (" (%s)"):format(err.code)))
  context.err:flush()
end

local function say(context, answer, is_numbered)
  if answer.error then return say_error(context, answer.error) end
  if not answer.value then return end
  local number = is_numbered and context.out:paint("dim", ("_%d = "):format(answer.n)) or ""
  context.out:line(number .. text.safe(answer.value))
  context.out:flush()
end

local function evaluate(context, talk, chunk)
  local answer = talk:ask({ op = "eval", text = chunk, width = (context.out:size()), colours = context.out.has_colours }, function(piece)
    context.out:write(context.out.is_terminal and text.safe(piece) or piece)
    context.out:flush()
  end)
  return answer
end

-- At a terminal ---------------------------------------------------------------------------------------

local function watch_signals(talk, terminal)
  local interrupts = signals.watch({ "sigint" }, function()
    if not talk:interrupt() then terminal:interrupt() end
  end)
  local sizes = signals.watch({ "sigwinch" }, function() terminal:resize() end)
  return { close = function()
    interrupts:close()
    sizes:close()
  end }
end

local function remember(self, chunk)
  self.terminal:remember(chunk)
  if self.file then history.add(self.file, chunk) end
end

local function greet(context, hello)
  local err = context.err
  err:line(("%s  %s%s"):format(err:paint("bold", "weir " .. hello.weir), text.safe(hello.project),
    hello.write and "" or err:paint("yellow", "  to look only")))
  err:line(err:paint("dim", "? lists what is at hand, Tab completes, Ctrl-C interrupts, Ctrl-D leaves"))
  err:flush()
end

local function take(self, context, talk, line, how)
  self.chunk = self.chunk and self.chunk .. "\n" .. line or line
  if how == "paste" then
    self.chunk = self.chunk:gsub("\n$", "")
    return
  end
  if not self.chunk:find "%S" then
    self.chunk = nil
    return
  end
  local answer = evaluate(context, talk, self.chunk)
  if answer.incomplete then return end
  remember(self, self.chunk)
  self.chunk = nil
  say(context, answer, true)
end

local function converse(self, context, talk)
  local function complete(line, cursor)
    local before = self.chunk and self.chunk .. "\n" or ""
    local answer = talk:ask { op = "complete", text = before .. line, cursor = #before + cursor }
    return (answer.from or 0) - #before, answer.candidates
  end
  while true do
    local line, how = self.terminal:read_line(self.chunk and MORE or PROMPT, complete)
    if how == "end" then return end
    if how == "interrupt" then self.chunk = nil else take(self, context, talk, line, how) end
  end
end

local function at_terminal(context, talk)
  local hello = talk:ask { op = "hello" }
  local terminal = require("weir.port.terminal").open()
  if not terminal then return nil end
  local self = { terminal = terminal, file = hello.store ~= ":memory:" and hello.store .. "/history" or nil }
  for _, line in ipairs(self.file and history.load(self.file) or {}) do terminal:remember(line) end
  greet(context, hello)
  local watch = watch_signals(talk, terminal)
  local ok, err = pcall(converse, self, context, talk)
  watch:close()
  terminal:close()
  if not ok then error(err, 0) end
  return status.finished
end

-- Without one -----------------------------------------------------------------------------------------

local function from_stdin(context, talk)
  local result, chunk = status.finished, nil
  for line in stdin.line do
    line = line:gsub("\n$", "")
    chunk = chunk and chunk .. "\n" .. line or line
    local answer = evaluate(context, talk, chunk)
    if not answer.incomplete then
      chunk = nil
      if answer.status ~= 0 then result = answer.status end
      say(context, answer, false)
    end
  end
  if not chunk then return result end
  context.err:line "weir: the last lines are not whole"
  return status.usage
end

--- Talks to a host until the input ends. Waits.
---@param context weir.cli.Context
---@param talk weir.cli.Talk
---@return integer status
function M.converse(context, talk)
  local ok, result = pcall(function()
    local is_terminal = context.out.is_terminal and system.is_terminal(0)
    return is_terminal and at_terminal(context, talk) or from_stdin(context, talk)
  end)
  talk:close()
  if not ok then error(result, 0) end
  return result
end

--- Evaluates one chunk and says what came out of it. Waits.
---@param context weir.cli.Context
---@param talk weir.cli.Talk
---@param chunk string
---@return integer status
function M.once(context, talk, chunk)
  local watch = signals.watch({ "sigint", "sigterm" }, function() talk:interrupt() end)
  local ok, answer = pcall(evaluate, context, talk, chunk)
  watch:close()
  talk:close()
  if not ok then error(answer, 0) end
  if answer.incomplete then answer = { status = status.usage, error = { code = "invalid", message = "the expression is not whole" } } end
  if context.json then
    context.out:line(json.encode { value = answer.value or json.null, status = answer.status, error = answer.error or json.null })
  else
    say(context, answer, false)
  end
  return answer.status
end

function M.run(arguments, context)
  return M.converse(context, talk_of.open(arguments, context))
end

return M
